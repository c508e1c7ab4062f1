// The user's own account: name, password, sessions, keyboard shortcuts.

import assert from 'node:assert/strict';
import { LeakSearch } from './harness/trail.mjs';
import { eventually, suite } from './harness.mjs';

const check = suite();
const NEW = 'Kq9a-my-next-password-40cd';

async function at(stage, name) {
	const user = await stage.coffer.user(name, 'viewer');
	await stage.become(user, true);
	await stage.open('/account', 'Your account');
	return user;
}

check('opens from the link with the email address', async (stage) => {
	await stage.open('/', 'Secrets');
	await stage.link('ada@example.org').click();
	await stage.heading('Your account').waitFor();
	await stage.arrive('/account');
});

check('change the name', { as: null }, async (stage) => {
	const { id } = await at(stage, 'named');
	await stage.field('Name').fill('Nadia <b>');
	await stage.button('Save name').click();
	await stage.toast(/saved|name/i);
	assert.equal((await stage.api.get(`/api/users/${id}`)).user.name, 'Nadia <b>');
});

check('change the password', { as: null, allow: [400, 401] }, async (stage) => {
	const { id, email, password } = await at(stage, 'careful');
	const leaks = new LeakSearch(stage);
	leaks.plant('new password', NEW);
	leaks.plant('old password', password);
	leaks.allowInBody(/^POST \/api\/users\/\w+\/change-password$/, /^POST \/api\/auth\/login$/);
	const [current, next] = [stage.field('Current password'), stage.field('New password')];
	for (const field of [current, next]) assert.equal(await field.getAttribute('type'), 'password');
	await current.fill('not my password');
	await next.fill(NEW);
	await stage.button('Change password').click();
	await stage.refused(current, /password/i);
	await current.fill(password);
	await next.fill('short');
	await stage.button('Change password').click();
	await stage.refused(next, /12/);
	if ((await current.inputValue()) === '') await current.fill(password);
	await next.fill(NEW);
	await stage.button('Change password').click();
	await eventually('the password is changed', async () => {
		const reply = await stage.api.send('POST', '/api/auth/login', { email, password: NEW });
		return reply.status === 200;
	});
	// All sessions end with the old password; the page says so.
	await eventually(
		'the page says so',
		async () =>
			(await stage.heading('Log in').count()) > 0 ||
			/password/i.test(await stage.page.locator('#toasts').innerText()),
	);
	await leaks.assertClean();
	assert.equal((await stage.api.get(`/api/users/${id}`)).user.email, email);
});

check('keyboard shortcuts can be turned off', async (stage) => {
	await stage.open('/account', 'Your account');
	const keys = stage.checkbox(/keyboard shortcuts/i);
	assert.equal(await keys.isChecked(), true);
	await keys.uncheck();
	await stage.open('/environments', 'Environments');
	await stage.page.keyboard.press('n');
	assert.equal(await stage.page.getByRole('dialog').count(), 0);
	await stage.open('/account', 'Your account');
	assert.equal(await keys.isChecked(), false);
	await keys.check();
	await stage.open('/environments', 'Environments');
	await stage.page.keyboard.press('n');
	await stage.dialog('New environment').waitFor();
});

check('list and end sessions', { as: null, allow: [401] }, async (stage) => {
	const user = await at(stage, 'roaming');
	await stage.coffer.cookie(user, true);
	await stage.page.reload();
	await stage.heading('Your account').waitFor();
	const sessions = async () => (await stage.api.get(`/api/users/${user.id}/sessions`)).sessions;
	assert.equal((await sessions()).length, 2);
	const buttons = stage.page.getByRole('button', { name: /^End session/ });
	await eventually('both sessions are listed', async () => (await buttons.count()) >= 1);
	// End the other session, not the current one.
	const rows = stage.page.getByRole('main').getByRole('row').filter({ has: buttons });
	const other = rows.filter({ hasNotText: /current/i }).first();
	await other.getByRole('button', { name: /^End session/ }).click();
	const sure = stage.page.getByRole('dialog');
	if (await sure.count()) await sure.getByRole('button', { name: /^End/ }).click();
	await eventually('one session is left', async () => (await sessions()).length === 1);
	await stage.page.reload();
	await stage.heading('Your account').waitFor();
});
