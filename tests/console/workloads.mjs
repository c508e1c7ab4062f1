// Workloads and deliveries, as configured on the server.

import assert from 'node:assert/strict';
import { declared, OUTPUT } from './harness/seed.mjs';
import { suite } from './harness.mjs';

const check = suite({
	config: declared,
	variables: { COFFER_BOOTSTRAP__ENVIRONMENTS: 'production,staging' },
	async prepare({ api }) {
		await api.addSecret('production', 'DATABASE_URL', 'Kq-delivered-and-never-shown', { neverReveal: true });
	},
});

check('workloads and deliveries', async (stage) => {
	await stage.open('/workloads/production', 'Workloads');
	const main = stage.page.getByRole('main');
	const workloads = main.getByRole('region', { name: 'Workloads' });
	const row = stage.row('api', workloads);
	await row.waitFor();
	assert.match(await row.innerText(), /DATABASE_\*[\s\S]*age1/);
	const deliveries = main.getByRole('region', { name: 'Deliveries' });
	await deliveries.getByText(new RegExp(OUTPUT)).first().waitFor();
	await deliveries
		.getByText(/written|unchanged/i)
		.first()
		.waitFor();
	await main
		.getByText(/config\.toml/)
		.first()
		.waitFor();
	assert.ok(!(await main.innerText()).includes('Kq-delivered'));
});

check('the last delivery of a workload', async (stage) => {
	await stage.api
		.send('GET', '/api/environments/production/bundle?workload=api')
		.then((reply) => reply.arrayBuffer());
	await stage.open('/workloads/production', 'Workloads');
	const row = stage.row('api', stage.page.getByRole('region', { name: 'Workloads' }));
	await row.waitFor();
	await row
		.getByText(/now|second|minute|2\d\d\d/i)
		.first()
		.waitFor();
});

check('deleting a secret shows what uses it', async (stage) => {
	await stage.open('/secrets/production/DATABASE_URL', 'Secrets');
	const dialog = stage.dialog('DATABASE_URL');
	await dialog.getByText('api').first().waitFor();
	const sure = await stage.press('Delete secret', 'Delete DATABASE_URL', dialog);
	await sure
		.getByText(/\bapi\b/)
		.first()
		.waitFor();
});

check('an environment without workloads explains what to do', async (stage) => {
	await stage.open('/workloads/staging', 'Workloads');
	await stage.page
		.getByRole('main')
		.getByText(/config\.toml/)
		.first()
		.waitFor();
	assert.ok(!(await stage.page.getByRole('main').innerText()).includes(OUTPUT));
});
