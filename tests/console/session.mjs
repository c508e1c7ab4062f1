// Logging in and out, and what a page does when its session has ended or the server is
// down or overloaded.

import assert from 'node:assert/strict';
import { ADMIN } from './harness/server.mjs';
import { LeakSearch } from './harness/trail.mjs';
import { eventually, suite } from './harness.mjs';

const check = suite();
const ENDED = 'Session expired. Log in to continue.';

async function logIn(stage, { email, password } = ADMIN) {
	await stage.field('Email').fill(email);
	await stage.field('Password').fill(password);
	await stage.button('Log in').click();
}

check('log in and out', { as: null, allow: [401] }, async (stage) => {
	const leaks = new LeakSearch(stage);
	leaks.plant('password', ADMIN.password);
	leaks.allowInBody(/^POST \/api\/auth\/login$/);
	await stage.page.goto('/');
	await stage.heading('Log in').waitFor();
	assert.match(await stage.page.title(), /^Log in · .*coffer$/);
	assert.equal(await stage.field('Password').getAttribute('type'), 'password');
	await logIn(stage);
	await stage.heading('Secrets').waitFor();
	await stage.arrive('/secrets/development');
	assert.equal(await stage.page.title(), 'Secrets · development · coffer');
	const cookies = await stage.context.cookies();
	assert.equal(cookies.length, 1);
	assert.equal(cookies[0].httpOnly, true);
	assert.equal(cookies[0].sameSite, 'Strict');
	assert.equal(await stage.page.evaluate(() => document.cookie), '');
	await leaks.assertClean();
	await stage.button('Log out').click();
	await stage.heading('Log in').waitFor();
	assert.equal(await stage.page.getByText(ENDED).count(), 0, 'logging out is not an expired session');
	assert.deepEqual(await stage.context.cookies(), []);
	// Going back does not show the page again.
	await stage.page.goBack();
	await stage.heading('Log in').waitFor();
	assert.equal(await stage.page.getByRole('navigation', { name: 'Main' }).count(), 0);
	await leaks.assertClean();
});

check('logging out clears the page at once, however slow the server is', async (stage) => {
	await stage.become(await stage.coffer.user('leaving', 'admin'), true);
	const environment = await stage.environment();
	await stage.api.addSecret(environment, 'SEEN_BEFORE');
	await stage.open(`/secrets/${environment}`, 'Secrets');
	await stage.link('SEEN_BEFORE').waitFor();
	let answer;
	const held = new Promise((resolve) => {
		answer = resolve;
	});
	await stage.context.route('**/api/auth/registration', async (route) => {
		await held;
		await route.continue();
	});
	await stage.button('Log out').click();
	await stage.gone(stage.link('SEEN_BEFORE'));
	await stage.gone(stage.page.getByRole('navigation', { name: 'Main' }));
	await stage.page.keyboard.press('n');
	assert.equal(await stage.page.getByRole('dialog').count(), 0);
	answer();
	await stage.heading('Log in').waitFor();
});

check('a wrong password and an unknown email get the same error', { as: null, allow: [401] }, async (stage) => {
	await stage.open('/login', 'Log in');
	await logIn(stage, { email: ADMIN.email, password: 'not the password' });
	await stage.alert(/password|log in/i, /req_/);
	const alert = stage.page.getByRole('alert').filter({ visible: true });
	const without = (text) => text.replace(/req_\w+/g, '');
	const first = without((await alert.allInnerTexts()).join());
	await logIn(stage, { email: 'nobody@example.org', password: 'not the password' });
	await stage.alert(/req_/);
	await eventually('the same error', async () => without((await alert.allInnerTexts()).join()) === first);
	assert.match(stage.path(), /^\/login/);
	await logIn(stage);
	await stage.heading('Secrets').waitFor();
});

check('after the login, the requested page opens', { as: null, allow: [401] }, async (stage) => {
	const environment = await stage.environment();
	await stage.page.goto(`/vars/${environment}`);
	await stage.heading('Log in').waitFor();
	assert.equal(await stage.page.getByText(ENDED).count(), 0, 'there was no session before');
	assert.equal(
		stage.path(),
		`/login?next=${encodeURIComponent(`/vars/${environment}`)}`.replaceAll(
			'%2F',
			stage.path().includes('%2F') ? '%2F' : '/',
		),
	);
	await logIn(stage);
	await stage.heading('Variables').waitFor();
	await stage.arrive(`/vars/${environment}`);
});

for (const next of [
	'//elsewhere.example/x',
	'https://elsewhere.example/',
	'/\\elsewhere.example',
	'javascript:alert(1)',
	'/\t/elsewhere.example',
]) {
	check(`next=${JSON.stringify(next)} does not leave the site`, { as: null, allow: [401] }, async (stage) => {
		await stage.open(`/login?next=${encodeURIComponent(next)}`, 'Log in');
		await logIn(stage);
		await stage.heading('Secrets').waitFor();
		assert.equal(new URL(stage.page.url()).origin, stage.url);
	});
}

check('the session ends while a form is open', { as: null, allow: [401] }, async (stage) => {
	const environment = await stage.environment();
	const user = await stage.coffer.user('lost', 'operator');
	await stage.become(user, true);
	await stage.open(`/secrets/${environment}`, 'Secrets');
	const dialog = await stage.press('Add secret', 'Add a secret');
	await stage.field('Key', dialog).fill('HALF_DONE');
	await stage.field('Value', dialog).fill('typed before the session ended');
	await stage.api.delete(`/api/users/${user.id}/sessions`);
	await stage.button('Add secret', dialog).click();
	await stage.heading('Log in').waitFor();
	await stage.page.getByText(ENDED).waitFor();
	assert.equal(await dialog.count(), 0, 'no dialog over the login page');
	await logIn(stage, user);
	await stage.heading('Secrets').waitFor();
	await stage.arrive(`/secrets/${environment}`);
	assert.equal(await stage.api.secret(environment, 'HALF_DONE'), undefined);
});

check('the session ends while a dialog with its own URL is open', { as: null, allow: [401] }, async (stage) => {
	const environment = await stage.environment();
	await stage.api.addSecret(environment, 'OPEN');
	const user = await stage.coffer.user('lost', 'operator');
	await stage.become(user, true);
	await stage.open(`/secrets/${environment}`, 'Secrets');
	const dialog = await stage.follow('OPEN');
	// The requests of the dialog itself must not be the ones that find the session gone.
	await stage.page.waitForLoadState('networkidle');
	await stage.api.delete(`/api/users/${user.id}/sessions`);
	const edit = await stage.press('Edit description', 'Edit the description of OPEN', dialog);
	await stage.field('Description', edit).fill('late');
	await stage.button('Save description', edit).click();
	await stage.heading('Log in').waitFor();
	await stage.page.getByText(ENDED).waitFor();
	await logIn(stage, user);
	await stage.dialog('OPEN').waitFor();
	await stage.arrive(`/secrets/${environment}/OPEN`);
});

check('an unreachable server is reported, and the form can be sent again', { allow: ['network'] }, async (stage) => {
	const environment = await stage.environment();
	await stage.open(`/secrets/${environment}`, 'Secrets');
	await stage.context.route('**/api/**', (route) => route.abort('connectionrefused'));
	const dialog = await stage.press('Add secret', 'Add a secret');
	await stage.field('Key', dialog).fill('WAITS');
	await stage.field('Value', dialog).fill('for the server');
	await stage.button('Add secret', dialog).click();
	await stage.alert(/server|reach|connect/i);
	assert.equal(await stage.field('Key', dialog).inputValue(), 'WAITS', 'the input is kept');
	await stage.context.unroute('**/api/**');
	await stage.button('Add secret', dialog).click();
	await stage.gone(dialog);
	await stage.link('WAITS').waitFor();
	assert.ok(await stage.api.secret(environment, 'WAITS'));
});

check('a view that cannot load says so', { allow: ['network'] }, async (stage) => {
	const environment = await stage.environment();
	await stage.open(`/secrets/${environment}`, 'Secrets');
	await stage.context.route('**/api/environments/**', (route) => route.abort('connectionrefused'));
	await stage.link('Variables').click();
	await stage.alert(/server|reach|connect/i);
	await stage.context.unroute('**/api/environments/**');
	await stage.link('Secrets').click();
	await stage.page.getByText(`No secrets in ${environment} yet`).waitFor();
});

const OVERLOADS = [
	[429, 'RATE_LIMITED', 'Too many requests.', 'Try again in 7 s.'],
	[503, 'SERVICE_UNAVAILABLE', 'The server has too much to do.', 'Try again in 7 s.'],
];
for (const [status, code, message, hint] of OVERLOADS) {
	check(`the error for status ${status} is shown`, { allow: [status] }, async (stage) => {
		const environment = await stage.environment();
		await stage.open(`/secrets/${environment}`, 'Secrets');
		const requestId = 'req_01M8000000000000000000TEST';
		const path = '**/api/environments/*/secrets';
		await stage.context.route(path, (route) => {
			if (route.request().method() !== 'POST') return route.continue();
			return route.fulfill({
				status,
				contentType: 'application/json; charset=utf-8',
				headers: { 'Retry-After': '7' },
				body: JSON.stringify({ code, message, hint, requestId }),
			});
		});
		const dialog = await stage.press('Add secret', 'Add a secret');
		await stage.field('Key', dialog).fill('LATER');
		await stage.field('Value', dialog).fill('a value');
		await stage.button('Add secret', dialog).click();
		await stage.alert(message, hint, requestId);
		await stage.context.unroute(path);
		await stage.button('Add secret', dialog).click();
		await stage.link('LATER').waitFor();
	});
}

check('too many failed logins', { as: null, allow: [401, 429] }, async (stage) => {
	await stage.context.route('**/api/auth/login', (route) =>
		route.fulfill({
			status: 429,
			contentType: 'application/json; charset=utf-8',
			headers: { 'Retry-After': '60' },
			body: JSON.stringify({
				code: 'RATE_LIMITED',
				message: 'Too many failed logins.',
				hint: 'Try again in 60 seconds.',
				requestId: 'req_01M8000000000000000000SLOW',
			}),
		}),
	);
	await stage.open('/login', 'Log in');
	await logIn(stage);
	await stage.alert('Too many failed logins.', /Try again in 60 s/, 'req_01M8000000000000000000SLOW');
});

check('a page that cannot start says so', { as: null, allow: [401, 429, 'network'] }, async (stage) => {
	const refuse = (route) =>
		route.fulfill({
			status: 429,
			contentType: 'application/json; charset=utf-8',
			headers: { 'Retry-After': '9' },
			body: JSON.stringify({
				code: 'RATE_LIMITED',
				message: 'Too many requests.',
				requestId: 'req_01M8000000000000000000MANY',
			}),
		});
	for (const answer of [refuse, (route) => route.abort('connectionrefused')]) {
		await stage.context.route('**/api/**', answer);
		for (const path of ['/', '/login', '/secrets/development']) {
			await stage.page.goto(path);
			await stage.alert(/Too many requests|server/i);
		}
		await stage.context.unroute('**/api/**');
	}
	// The session works, and nothing else does.
	await stage.context.route('**/api/auth/registration', refuse);
	await stage.page.goto('/secrets/development');
	await stage.alert(/Too many requests/i);
});

check('a URL that cannot be decoded', async (stage) => {
	await stage.page.goto('/secrets/%E0%A4%A');
	await stage.heading().waitFor();
	assert.match(await stage.page.getByRole('main').innerText(), /no such|not (found|here|there)/i);
});

check('the browser stores only the last environment', async (stage) => {
	const environment = await stage.environment();
	await stage.api.addSecret(environment, 'STORED_KEY', 'stored value', { description: 'stored words' });
	await stage.open(`/secrets/${environment}`, 'Secrets');
	await (await stage.follow('STORED_KEY')).press('Escape');
	for (const [link, heading] of [
		['Variables', 'Variables'],
		['Users', 'Users'],
		['Tokens', 'Tokens'],
	]) {
		await stage.link(link).click();
		await stage.heading(heading).waitFor();
	}
	const kept = await stage.page.evaluate(async () => ({
		local: { ...localStorage },
		session: { ...sessionStorage },
		cookie: document.cookie,
		databases: await indexedDB.databases(),
		caches: await caches.keys(),
		workers: (await navigator.serviceWorker.getRegistrations()).length,
	}));
	assert.equal(kept.cookie, '');
	assert.deepEqual(kept.databases, []);
	assert.deepEqual(kept.caches, []);
	assert.equal(kept.workers, 0);
	const stored = JSON.stringify([kept.local, kept.session]);
	for (const word of ['STORED_KEY', 'stored', 'coffer_session', 'cos_', ADMIN.email]) {
		assert.ok(!stored.includes(word), `${word} is kept: ${stored}`);
	}
	assert.ok(
		Object.values(kept.local).some((value) => value.includes(environment)),
		stored,
	);
	// The stored environment opens next time.
	await stage.page.goto('/');
	await stage.arrive(`/secrets/${environment}`);
});
