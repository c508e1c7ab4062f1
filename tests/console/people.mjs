// Users, service accounts and tokens: every action once, and invalid input.

import assert from 'node:assert/strict';
import { ADMIN } from './harness/server.mjs';
import { LeakSearch } from './harness/trail.mjs';
import { eventually, suite } from './harness.mjs';

const check = suite();
const PASSWORD = 'Kq5d-chosen-for-somebody-81be';

async function user(stage, email) {
	return (await stage.api.get('/api/users')).users.find((one) => one.email === email);
}

check('create a user with access to some environments', { allow: [400, 409] }, async (stage) => {
	const environment = await stage.environment();
	await stage.open('/users', 'Users');
	const dialog = await stage.press('New user', 'New user');
	const leaks = new LeakSearch(stage);
	leaks.plant('password', PASSWORD);
	leaks.allowInBody(/^POST \/api\/users$/);
	await stage.field('Email', dialog).fill(ADMIN.email);
	await stage.field('Name (optional)', dialog).fill('Olga <b>');
	await stage.field('Password', dialog).fill('too short');
	await stage.choose(stage.select('Role', dialog), /operator/i);
	await dialog.getByRole('radio', { name: 'Selected environments' }).check();
	await dialog.getByRole('checkbox', { name: new RegExp(`^${environment}\\b`) }).check();
	await stage.button('Create user', dialog).click();
	await stage.refused(stage.field('Password', dialog), /12/);
	await stage.field('Password', dialog).fill(PASSWORD);
	await stage.button('Create user', dialog).click();
	await stage.refused(stage.field('Email', dialog), /in use/i);
	await stage.field('Email', dialog).fill('olga@example.org');
	if ((await stage.field('Password', dialog).inputValue()) === '')
		await stage.field('Password', dialog).fill(PASSWORD);
	await stage.button('Create user', dialog).click();
	await stage.gone(dialog);
	await stage.toast(/created/i);
	assert.match(await stage.row('olga@example.org').innerText(), /Olga <b>[\s\S]*operator/i);
	assert.match(await stage.row('olga@example.org').innerText(), new RegExp(environment));
	const made = await user(stage, 'olga@example.org');
	const { id } = (await stage.api.environments()).find((one) => one.name === environment);
	assert.equal(made.role, 'operator');
	assert.deepEqual(made.environmentIds, [id]);
	await leaks.assertClean();
	leaks.assertSent(/^POST \/api\/users$/);
});

check('change, disable and enable a user', async (stage) => {
	const changed = await stage.coffer.user('changed', 'viewer');
	await stage.open('/users', 'Users');
	const dialog = await stage.follow(changed.email);
	await stage.arrive(`/users/${changed.id}`);
	await stage.field('Name', dialog).fill('Another name');
	await stage.choose(stage.select('Role', dialog), /operator/i);
	await stage.checkbox('Disabled', dialog).check();
	await stage.button('Save user', dialog).click();
	await eventually('the change is saved', async () => (await user(stage, changed.email)).disabled);
	const now = await user(stage, changed.email);
	assert.equal(now.name, 'Another name');
	assert.equal(now.role, 'operator');
	await stage.toast(changed.email);
	await stage.page.goto('/users');
	await eventually('the table shows it', async () => /disabled/i.test(await stage.row(changed.email).innerText()));
	await stage.follow(changed.email);
	await stage.checkbox('Disabled', dialog).uncheck();
	await stage.button('Save user', dialog).click();
	await eventually('the change is saved', async () => !(await user(stage, changed.email)).disabled);
});

check('set a password, which ends all sessions', { allow: [400] }, async (stage) => {
	const secured = await stage.coffer.user('secured', 'viewer');
	await stage.coffer.cookie(secured, true);
	await stage.open(`/users/${secured.id}`, 'Users');
	const dialog = stage.dialog(secured.email);
	const sessions = dialog.getByRole('table').getByRole('row');
	await eventually('one session', async () => (await sessions.count()) === 2);
	await stage.button('End all sessions', dialog).click();
	const sure = stage.page.getByRole('dialog', { name: /sessions/i });
	if (await sure.count()) await stage.button('End all sessions', sure).click();
	await eventually(
		'the session has ended',
		async () => (await stage.api.get(`/api/users/${secured.id}/sessions`)).sessions.length === 0,
	);
	const leaks = new LeakSearch(stage);
	leaks.plant('password', PASSWORD);
	leaks.allowInBody(/^POST \/api\/users\/\w+\/change-password$/);
	const set = await stage.press('Set password', 'Set password', dialog);
	await stage.field('New password', set).fill('short');
	await stage.button('Set password', set).click();
	await stage.refused(stage.field('New password', set), /12/);
	await stage.field('New password', set).fill(PASSWORD);
	await stage.button('Set password', set).click();
	await stage.gone(set);
	const reply = await stage.api.send('POST', '/api/auth/login', { email: secured.email, password: PASSWORD });
	assert.equal(reply.status, 200);
	await leaks.assertClean();
});

check('delete a user after typing the email address', async (stage) => {
	const leaving = await stage.coffer.user('leaving', 'viewer');
	await stage.open(`/users/${leaving.id}`, 'Users');
	await stage.button('Delete user', stage.dialog(leaving.email)).click();
	const sure = stage.dialog(`Delete ${leaving.email}`);
	await sure.waitFor();
	const typed = stage.field(`Type ${leaving.email} to confirm`, sure);
	await typed.fill('somebody@example.org');
	if (await stage.button('Delete user', sure).isEnabled()) {
		await stage.button('Delete user', sure).click();
		await stage.refused(typed, /leaving/);
	}
	assert.ok(await user(stage, leaving.email));
	await typed.fill(leaving.email);
	await stage.button('Delete user', sure).click();
	await stage.arrive('/users');
	await stage.gone(stage.link(leaving.email));
	assert.equal(await user(stage, leaving.email), undefined);
});

check('the last admin cannot be demoted or deleted', { allow: [409] }, async (stage) => {
	// Other tests may have created admins.
	for (const one of (await stage.api.get('/api/users')).users) {
		if (one.role === 'admin' && one.email !== ADMIN.email) await stage.api.delete(`/api/users/${one.id}`);
	}
	const { id } = await user(stage, ADMIN.email);
	await stage.open(`/users/${id}`, 'Users');
	const dialog = stage.dialog(ADMIN.email);
	await stage.choose(stage.select('Role', dialog), /viewer/i);
	await stage.button('Save user', dialog).click();
	await stage.alert(/last .*admin/i, /req_\w+/);
	assert.equal((await user(stage, ADMIN.email)).role, 'admin');
	await stage.page.reload();
	await stage.button('Delete user', dialog).click();
	const sure = stage.dialog(`Delete ${ADMIN.email}`);
	await stage.field(`Type ${ADMIN.email} to confirm`, sure).fill(ADMIN.email);
	await stage.button('Delete user', sure).click();
	await stage.alert(/last .*admin/i, /req_\w+/);
	assert.ok(await user(stage, ADMIN.email));
});

check('create, change and delete a service account', { allow: [400, 409] }, async (stage) => {
	await stage.open('/service-accounts', 'Service accounts');
	const dialog = await stage.press('New service account', 'New service account');
	await stage.field('Name', dialog).fill('Not A Name');
	await stage.choose(stage.select('Role', dialog), /viewer/i);
	await dialog.getByRole('radio', { name: 'All environments' }).check();
	await stage.button('Create service account', dialog).click();
	await stage.refused(stage.field('Name', dialog), /\w/);
	await stage.field('Name', dialog).fill('deploy');
	await stage.field(/^Description/, dialog).fill('deploys releases');
	await stage.button('Create service account', dialog).click();
	await stage.gone(dialog);
	await stage.toast(/created/i);
	const find = async () =>
		(await stage.api.get('/api/admin/service-accounts')).serviceAccounts.find((one) => one.name === 'deploy');
	assert.equal((await find()).description, 'deploys releases');
	assert.equal((await find()).allEnvironments, true);

	const again = await stage.press('New service account', 'New service account');
	await stage.field('Name', again).fill('deploy');
	await stage.button('Create service account', again).click();
	if (await again.getByRole('radio', { name: 'All environments' }).isChecked()) {
		await stage.refused(stage.field('Name', again), /exists|taken|in use/i);
	}
	await stage.page.keyboard.press('Escape');
	await stage.gone(again);

	const about = await stage.follow('deploy');
	await stage.choose(stage.select('Role', about), /operator/i);
	await stage.checkbox('Disabled', about).check();
	await stage.button('Save service account', about).click();
	await eventually('the change is saved', async () => (await find()).role === 'operator' && (await find()).disabled);
	await stage.gone(about);
	await stage.follow('deploy');
	await stage.button('Delete service account', about).click();
	const sure = stage.dialog('Delete deploy');
	await sure.waitFor();
	await stage.field('Type deploy to confirm', sure).fill('deploy');
	await stage.button('Delete service account', sure).click();
	await stage.arrive('/service-accounts');
	await stage.gone(stage.link('deploy'));
	assert.equal(await find(), undefined);
});

check('a token is shown once, and works until it is deleted', async (stage) => {
	await stage.context.grantPermissions(['clipboard-read', 'clipboard-write'], { origin: stage.url });
	await stage.open('/tokens', 'Tokens');
	const dialog = await stage.press('New token', 'New token');
	await stage.field('Name', dialog).fill('laptop');
	await stage.choose(stage.select('Role', dialog), /viewer/i);
	await dialog.getByRole('radio', { name: 'All environments' }).check();
	await stage.choose(stage.select('Expires in', dialog), /30/);
	await stage.button('Create token', dialog).click();
	const once = stage.dialog('Token created');
	await once.waitFor();
	const token = await stage.field('Token', once).inputValue();
	assert.match(token, /^cof_[\w-]{30,}$/);
	const me = await stage.api.send('GET', '/api/auth/me', undefined, { Authorization: `Bearer ${token}` });
	assert.equal(me.status, 200);
	assert.equal((await me.json()).role, 'viewer');
	await stage.button('Copy token', once).click();
	await stage.toast(/cop/i);
	const other = await stage.context.newPage();
	await other.setContent('<textarea></textarea>');
	await other.getByRole('textbox').focus();
	await other.keyboard.press('ControlOrMeta+V');
	assert.equal(await other.getByRole('textbox').inputValue(), token);
	await other.close();
	await stage.button('Done', once).click();
	await stage.gone(once);
	const [made] = (await stage.api.get('/api/admin/tokens')).tokens.filter((one) => one.name === 'laptop');
	await stage.row('laptop').getByText(made.tokenPrefix).waitFor();

	const leaks = new LeakSearch(stage);
	leaks.plant('token', token);
	const clean = async () => {
		const findings = (await leaks.findings()).filter((one) => !one.startsWith('the response of '));
		assert.deepEqual(findings, []);
	};
	await clean();
	await stage.page.goBack();
	await stage.page.goForward();
	await stage.heading('Tokens').waitFor();
	await clean();
	await stage.page.reload();
	await stage.row('laptop').waitFor();
	await clean();

	await stage.button('Delete token laptop').click();
	const sure = stage.dialog('Delete laptop');
	await sure.waitFor();
	const typed = sure.getByRole('textbox');
	if (await typed.count()) await typed.fill('laptop');
	await sure.getByRole('button', { name: /^Delete token/ }).click();
	await stage.gone(stage.row('laptop'));
	const after = await stage.api.send('GET', '/api/auth/me', undefined, { Authorization: `Bearer ${token}` });
	assert.equal(after.status, 401);
});

check('create a token for a service account, with a role below its own', { allow: [400] }, async (stage) => {
	await stage.api.post('/api/admin/service-accounts', { name: 'ci', role: 'operator', allEnvironments: true });
	await stage.open('/tokens', 'Tokens');
	const dialog = await stage.press('New token', 'New token');
	await dialog.getByRole('radio', { name: 'All environments' }).check();
	await stage.button('Create token', dialog).click();
	await stage.refused(stage.field('Name', dialog), /\w/);
	await stage.field('Name', dialog).fill('builds');
	await stage.choose(stage.select('Owner', dialog), /\bci\b/);
	const role = stage.select('Role', dialog);
	const options = await role.locator('option:not([disabled])').allInnerTexts();
	if (options.some((one) => /admin/i.test(one))) {
		await stage.choose(role, /admin/i);
		await stage.button('Create token', dialog).click();
		await stage.refused(role, /role|owner/i);
	}
	await stage.choose(role, /operator/i);
	await stage.button('Create token', dialog).click();
	await stage.button('Done', stage.dialog('Token created')).click();
	assert.match(await stage.row('builds').innerText(), /ci[\s\S]*operator/i);
	const [made] = (await stage.api.get('/api/admin/tokens')).tokens.filter((one) => one.name === 'builds');
	assert.ok(made.serviceAccountId);
});

check('a click outside does not close the dialog with a token', async (stage) => {
	await stage.open('/tokens', 'Tokens');
	const dialog = await stage.press('New token', 'New token');
	await stage.field('Name', dialog).fill('kept');
	await dialog.getByRole('radio', { name: 'All environments' }).check();
	await stage.button('Create token', dialog).click();
	const once = stage.dialog('Token created');
	await once.waitFor();
	// Outside the dialog.
	await stage.page.mouse.click(5, 400);
	assert.equal(await once.count(), 1);
	await stage.button('Done', once).click();
	await stage.gone(once);
});

check('an empty scope is rejected next to the field', async (stage) => {
	await stage.open('/tokens', 'Tokens');
	const dialog = await stage.press('New token', 'New token');
	await stage.field('Name', dialog).fill('nowhere');
	await dialog.getByRole('radio', { name: 'Selected environments' }).check();
	await stage.button('Create token', dialog).click();
	const group = dialog.getByRole('group', { name: 'Scope' });
	await group.getByText(/at least one environment/i).waitFor();
	await eventually('the error describes a field', () =>
		group.evaluate((element) =>
			[element, ...element.querySelectorAll('input')].some((one) =>
				(one.getAttribute('aria-describedby') ?? '')
					.split(' ')
					.some((id) => /at least one/i.test(document.getElementById(id)?.textContent ?? '')),
			),
		),
	);
});
