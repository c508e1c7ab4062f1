// The first visit, and logging in. Must never: keep a password or token.

import { ApiError, api, get, session } from './api.js';
import { enter, navigate } from './router.js';
import { code, div, field, form, input, LONG_ENOUGH, p, password, prose, toast } from './ui.js';

const isOpen = async () => (await get('/api/auth/registration')).registration.open;

// Nobody is logged in: to the first visit or to the login, and then back.
export async function begin() {
	const path = location.pathname + location.search;
	const next = path === '/' ? '' : `?next=${encodeURIComponent(path)}`;
	return navigate((await isOpen()) ? '/setup' : `/login${next}`, true);
}

// A 401 here is no lost session; these are the words for it.
const send = (path, body, words, options) =>
	api('POST', path, body, { ...options, keepSession: true }).catch((error) => {
		throw error.status === 401 ? new ApiError(401, { ...error, hint: null, ...words }) : error;
	});

const email = () => input('email', { type: 'email', autocomplete: 'username' });

export async function openLogin() {
	if (await isOpen()) return navigate('/setup', true);
	const [address, secret] = [email(), password('password', 'current-password')];
	const sent = form(
		[
			session.lost && p('Your session has ended. Log in to go on where you were.'),
			field('Email', address),
			field('Password', secret),
		],
		'Log in',
		async () => {
			const body = { email: address.value.trim(), password: secret.value };
			secret.value = '';
			await send('/api/auth/login', body, { message: 'The email or the password is wrong.' });
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
	const hint = [
		'It shows that this server is yours. On the server: ',
		code('cat data/bootstrap-token'),
		', or wherever its data directory is.',
	];
	const made = form(
		[
			field('Bootstrap token', token, hint),
			field('Email', address),
			field('Password', secret, LONG_ENOUGH),
			field('Name (optional)', name),
		],
		'Create the first admin',
		async () => {
			const body = { email: address.value.trim(), password: secret.value, name: name.value.trim() || undefined };
			const words = { message: 'This is not the bootstrap token of this server.', field: 'token' };
			await send('/api/auth/register', body, words, { bearer: token.value.trim() });
			await enter();
			toast('Welcome. You are the first admin.');
		},
	);
	const element = div(p('This server has no users yet. Create the first one, who administers everything.'), made);
	return { title: 'Set up coffer', element, shown: () => token.focus() };
}
