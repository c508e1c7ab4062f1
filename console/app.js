// The entry point: the view for each URL, the navigation around it, keyboard shortcuts.
//
// Must never: store anything in the browser other than the name of the last environment
// and whether keyboard shortcuts are on.

import { open as account } from './account.js';
import { ApiError, api, environment, isAdmin, loadSession, onSessionLost, SessionLost, session } from './api.js';
import { open as audit } from './audit.js';
import { open as environments } from './environments.js';
import { begin, openLogin, openSetup } from './login.js';
import { serviceAccounts, tokens, users } from './people.js';
import { BARE, connect, here, KEYS, leave, navigate, titled, viewName } from './router.js';
import { open as secrets } from './secrets.js';
import { open as status } from './status.js';
import { alertBox, busy, button, closeDialogs, div, emptyState, h, link, p, say } from './ui.js';
import { open as vars } from './vars.js';
import { open as workloads } from './workloads.js';

// open(rest) gets the segments after the view's name and returns {title, element}, and
// optionally update(rest), which handles another path of the same view; add(), for the key
// n; filter, the field for the key /; shown() and stop(), called when it appears and goes.
const VIEWS = {
	login: { open: openLogin },
	setup: { open: openSetup },
	secrets: { open: secrets, within: true, label: 'Secrets' },
	vars: { open: vars, within: true, label: 'Variables' },
	workloads: { open: workloads, within: true, label: 'Workloads' },
	environments: { open: environments, label: 'Environments' },
	users: { open: users, label: 'Users', admin: true },
	'service-accounts': { open: serviceAccounts, label: 'Service accounts', admin: true },
	tokens: { open: tokens, label: 'Tokens', admin: true },
	audit: { open: audit, label: 'Audit log' },
	status: { open: status, label: 'Status', admin: true },
	account: { open: account },
};
const LAST = 'coffer.environment';

const app = document.getElementById('app');
const main = h('main', { id: 'main', tabindex: '-1' });
const progress = h('div.progress', { hidden: true });
let [frame, current, turn, failed] = [null, null, 0];

const remembered = () => environment(localStorage.getItem(LAST)) ?? session.environments[0];

async function route() {
	turn += 1;
	const mine = turn;
	const slow = setTimeout(() => {
		progress.hidden = false;
	}, 150);
	try {
		const opened = await open();
		if (mine === turn && opened) show(opened);
		else opened?.stop?.();
	} catch (error) {
		if (mine !== turn || error instanceof SessionLost) return;
		const view = VIEWS[viewName()];
		const needsAdmin = view?.admin && error.status === 403;
		const words = { message: 'You need the admin role to open this page.', hint: null };
		const notes = alertBox();
		notes.show(needsAdmin ? new ApiError(403, { ...error, ...words }) : error);
		show({
			title: view?.label ?? 'Log in',
			element: div(
				notes.box,
				button('Try again', () => location.reload()),
			),
		});
	} finally {
		clearTimeout(slow);
		progress.hidden = true;
	}
}

// Opens the view for the current URL; returns null if it is already open.
function open() {
	let parts = [];
	try {
		parts = location.pathname.split('/').slice(1).map(decodeURIComponent);
	} catch {
		parts = ['?'];
	}
	const [name, ...rest] = parts;
	const view = VIEWS[name];
	if (failed) throw failed;
	if (!BARE.includes(name) && !session.me) return begin();
	if (!name) return navigate(remembered() ? `/secrets/${remembered().name}` : '/environments', true);
	if (!view) return { title: 'Page not found', element: p('Check the URL, or ', link('/', 'go to secrets'), '.') };
	if (current?.view === view && current.update?.(rest)) return null;
	if (!view.within) return view.open(rest);
	const env = environment(rest[0]);
	if (env) localStorage.setItem(LAST, env.name);
	else if (!rest[0] && remembered()) return navigate(`/${name}/${remembered().name}`, true);
	else {
		const title = rest[0] ? `No environment named ${rest[0]}` : 'No environments yet';
		return {
			title: view.label,
			element: emptyState(
				title,
				'It may have been deleted, or your account has no access to it.',
				link('/environments', 'Go to environments'),
			),
		};
	}
	return view.open(rest);
}

function show(opened) {
	const [name, env] = location.pathname.split('/').slice(1);
	const view = VIEWS[name];
	const first = !current;
	closeDialogs();
	current?.stop?.();
	current = { ...opened, view };
	titled([opened.title, view?.within && env]);
	if (BARE.includes(name) || !session.me) {
		const page = h(
			'main.plain',
			{ id: 'main' },
			h('p.brand', null, 'coffer'),
			h('h1', { tabindex: '-1' }, opened.title),
			opened.element,
		);
		app.replaceChildren(page);
	} else {
		if (!frame) app.replaceChildren(...makeFrame());
		const heading = h('h1', { tabindex: '-1' }, opened.title);
		main.replaceChildren(h('div.title', null, heading, h('div.buttons', null, opened.actions)), opened.element);
		frame();
		if (!first && document.activeElement.id !== 'environment') heading.focus({ preventScroll: true });
		scrollTo(0, 0);
	}
	opened.shown?.();
}

function makeFrame() {
	const picker = h('select', { id: 'environment' });
	const list = h('ul');
	const toggle = button('Menu', () => fold(toggle.ariaExpanded === 'true'), {
		class: 'menu',
		'aria-controls': 'nav',
	});
	const { user } = session.me;
	// A toast disappears on its own: nothing to clear.
	const notes = { clear: () => null, show: say };
	const out = button('Log out', () =>
		busy(out, notes, async () => {
			await api('POST', '/api/auth/logout', {});
			leave('/login');
		}),
	);
	const nav = h(
		'nav',
		{ id: 'nav', 'aria-label': 'Main' },
		h('label', { for: 'environment' }, 'Environment'),
		picker,
		list,
		h(
			'div.who',
			null,
			link('/account', user.email ?? user.name),
			out,
			link('/api/docs', 'API', { target: '_blank', rel: 'noopener' }),
		),
	);
	const fold = (folded) => {
		toggle.ariaExpanded = !folded;
		nav.classList.toggle('open', !folded);
	};
	const fill = () => {
		picker.replaceChildren(...session.environments.map((one) => h('option', null, one.name)));
		picker.value = remembered()?.name ?? '';
	};
	picker.addEventListener('change', () => {
		localStorage.setItem(LAST, picker.value);
		navigate(`/${VIEWS[viewName()]?.within ? viewName() : 'secrets'}/${picker.value}`);
	});
	frame = () => {
		const item = ([name, view]) => {
			const where = view.within && remembered() ? `/${name}/${remembered().name}` : `/${name}`;
			return h(
				'li',
				{ class: name === 'environments' && 'apart' },
				link(where, view.label, { 'aria-current': name === viewName() && 'page' }),
			);
		};
		list.replaceChildren(
			...Object.entries(VIEWS)
				.filter(([, view]) => view.label && (!view.admin || isAdmin()))
				.map(item),
		);
		fill();
		fold(true);
	};
	return [
		link('#main', 'Skip to content', { class: 'skip' }),
		progress,
		h('header.bar', null, link('/', 'coffer', { class: 'brand' }), toggle, nav),
		main,
	];
}

addEventListener('keydown', (event) => {
	if (
		localStorage.getItem(KEYS) ||
		event.ctrlKey ||
		event.metaKey ||
		event.altKey ||
		document.querySelector('dialog[open]') ||
		event.target.closest?.('input, textarea, select')
	)
		return;
	const act = { '/': current?.filter && (() => current.filter.focus()), n: current?.add }[event.key];
	if (!act) return;
	event.preventDefault();
	act();
});

addEventListener('click', (event) => {
	const anchor = event.target.closest?.('a[href^="/"]');
	if (!anchor || anchor.target || event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey)
		return;
	event.preventDefault();
	navigate(anchor.getAttribute('href'));
});

function clear() {
	current?.stop?.();
	current = null;
	frame = null;
	app.replaceChildren();
	main.replaceChildren();
}

connect(route, clear);
onSessionLost(() => leave(`/login?next=${encodeURIComponent(here())}`, true));

addEventListener('popstate', route);
addEventListener('environments', () => frame?.());

// A page restored from the browser's cache may belong to an earlier session.
addEventListener('pageshow', (event) => event.persisted && location.reload());

if (!BARE.includes(viewName()))
	await loadSession().catch((error) => {
		if (!(error instanceof SessionLost) && error.status !== 401) failed = error;
	});
route();
