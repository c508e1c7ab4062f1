// The first visit: while there is no user, every URL leads to the setup page. The password
// and the bootstrap token stay in its fields and nowhere else.

import assert from 'node:assert/strict';
import { LeakSearch } from './harness/trail.mjs';
import { eventually, suite } from './harness.mjs';

const EMAIL = 'grace@example.org';
const PASSWORD = 'Kq7w-first-admin-39f1c2aa07';

// The order matters: each test continues where the previous one stopped.
const check = suite({ withoutUser: true });

async function fill(stage, { token, email = EMAIL, password = PASSWORD, name }) {
	await stage.field('Bootstrap token').fill(token);
	await stage.field('Email').fill(email);
	await stage.field('Password').fill(password);
	if (name) await stage.field('Name (optional)').fill(name);
	await stage.button('Create admin account').click();
}

for (const path of ['/', '/login', '/secrets/development', '/users']) {
	check(`${path} leads to the setup page while there is no user`, { as: null, allow: [401] }, async (stage) => {
		await stage.page.goto(path);
		await stage.heading('Set up coffer').waitFor();
		assert.equal(stage.path().split('?')[0], '/setup');
		assert.match(await stage.page.title(), /^Set up coffer · .*coffer$/);
	});
}

check('invalid input on the setup page', { as: null, allow: [400, 401] }, async (stage) => {
	await stage.open('/setup', 'Set up coffer');
	await fill(stage, { token: stage.coffer.bootstrapToken, password: 'short' });
	await stage.refused(stage.field('Password'), /12/);
	await fill(stage, { token: stage.coffer.bootstrapToken, email: 'nobody' });
	await stage.refused(stage.field('Email'), /@|address/i);
	await fill(stage, { token: 'cof_this-is-not-the-token' });
	await eventually('the error names the token', async () => {
		const bad = (await stage.field('Bootstrap token').getAttribute('aria-invalid')) === 'true';
		return bad || (await stage.page.getByRole('alert').filter({ hasText: /token/i }).count()) > 0;
	});
	assert.equal(stage.path(), '/setup');
	assert.deepEqual((await stage.api.get('/api/users')).users, []);
});

check('create the first admin and log in', { as: null, allow: [401] }, async (stage) => {
	const leaks = new LeakSearch(stage);
	leaks.plant('password', PASSWORD);
	leaks.plant('bootstrap token', stage.coffer.bootstrapToken);
	leaks.allowInBody(/^POST \/api\/auth\/register$/);
	leaks.allowInHeaders(/^POST \/api\/auth\/register$/);
	await stage.open('/setup', 'Set up coffer');
	await fill(stage, { token: stage.coffer.bootstrapToken, name: 'Grace' });
	await stage.heading('Secrets').waitFor();
	await stage.arrive('/secrets/development');
	await stage.link(EMAIL).waitFor();
	await stage.page.getByText('No secrets in development yet').waitFor();
	const {
		users: [user],
	} = await stage.api.get('/api/users');
	assert.equal(user.email, EMAIL);
	assert.equal(user.name, 'Grace');
	assert.equal(user.role, 'admin');
	await leaks.assertClean();
	await stage.page.goBack();
	await leaks.assertClean();
	await stage.page.reload();
	await leaks.assertClean();
});

check('the setup page leads to the login page afterwards', { as: null, allow: [401] }, async (stage) => {
	await stage.page.goto('/setup');
	await stage.heading('Log in').waitFor();
	await stage.field('Email').fill(EMAIL);
	await stage.field('Password').fill(PASSWORD);
	await stage.button('Log in').click();
	await stage.heading('Secrets').waitFor();
});
