// The setup page for the first admin, and the login page. Must never: keep a password or
// token.

import { ApiError, api, get, session } from './api.js';
import { enter, navigate } from './router.js';
import { code, div, field, form, input, LONG_ENOUGH, p, password, prose, toast } from './ui.js';

const isOpen = async () => (await get('/api/auth/registration')).registration.open;

// Without a session: opens the setup or the login page, which then returns to this URL.
export async function begin() {
	const path = location.pathname + location.search;
	const next = path === '/' ? '' : `?next=${encodeURIComponent(path)}`;
	return navigate((await isOpen()) ? '/setup' : `/login${next}`, true);
}

// A 401 here means wrong credentials, not an expired session: `words` says so.
const send = (path, body, words, options) =>
	api('POST', path, body, { ...options, keepSession: true }).catch((error) => {
		throw error.status === 401 ? new ApiError(401, { ...error, hint: null, ...words }) : error;
	});

const email = () => input('email', { type: 'email', autocomplete: 'username' });

export async function openLogin() {
	if (await isOpen()) return navigate('/setup', true);
	const [address, secret] = [email(), password('password', 'current-password')];
	const sent = form(
		[session.lost && p('Session expired. Log in to continue.'), field('Email', address), field('Password', secret)],
		'Log in',
		async () => {
			const body = { email: address.value.trim(), password: secret.value };
			secret.value = '';
			await send('/api/auth/login', body, { message: 'Wrong email or password.' });
			await enter();
		},
	);
	return { title: 'Log in', element: sent, shown: () => address.focus() };
}

export async function openSetup() {
	if (!(await isOpen())) return navigate('/login', true);
	const [token, address, secret, name] = [
		password('token', 'off'),
		email(),
		password('password'),
		prose('name', '', { autocomplete: 'name' }),
	];
	const hint = ['Proves you own this server. Run ', code('cat data/bootstrap-token'), ' in its directory.'];
	const made = form(
		[
			field('Bootstrap token', token, hint),
			field('Email', address),
			field('Password', secret, LONG_ENOUGH),
			field('Name (optional)', name),
		],
		'Create admin account',
		async () => {
			const body = { email: address.value.trim(), password: secret.value, name: name.value.trim() || undefined };
			const words = { message: 'Not the bootstrap token of this server.', field: 'token' };
			await send('/api/auth/register', body, words, { bearer: token.value.trim() });
			await enter();
			toast('Created your admin account.');
		},
	);
	const element = div(p('Create the first admin account.'), made);
	return { title: 'Set up coffer', element, shown: () => token.focus() };
}
