// Environments: create, configure, delete after typing the name.

import assert from 'node:assert/strict';
import { eventually, suite } from './harness.mjs';

const check = suite();
const REVEAL = 'Allow admins to view secret values';
const WRITE_ONLY = 'Make new secrets write-only by default';

check('list and create', async (stage) => {
	await stage.open('/environments', 'Environments');
	const dialog = await stage.press('New environment', 'New environment');
	await stage.field('Name', dialog).fill('canary-1');
	await stage.field('Display name', dialog).fill('Canary <one>');
	await stage.button('Create environment', dialog).click();
	await stage.gone(dialog);
	await stage.toast('canary-1');
	await stage.open('/environments', 'Environments');
	await stage.row('canary-1').getByText('Canary <one>').waitFor();
	const made = (await stage.api.environments()).find((one) => one.name === 'canary-1');
	assert.equal(made.displayName, 'Canary <one>');
	const select = stage.select('Environment', stage.page.getByRole('navigation', { name: 'Main' }));
	assert.match(
		String(await select.locator('option').allInnerTexts()),
		/canary-1|Canary/,
		'the environment menu has it at once',
	);
});

check('invalid and existing names', { allow: [400, 409] }, async (stage) => {
	const taken = await stage.environment();
	await stage.open('/environments', 'Environments');
	const dialog = await stage.press('New environment', 'New environment');
	await stage.field('Name', dialog).fill('two words');
	await stage.button('Create environment', dialog).click();
	await stage.refused(stage.field('Name', dialog), /\w/);
	await stage.field('Name', dialog).fill(taken.toUpperCase());
	await stage.button('Create environment', dialog).click();
	await stage.refused(stage.field('Name', dialog), /exists/i);
});

check('change settings and restore the defaults', async (stage) => {
	const environment = await stage.environment();
	await stage.open('/environments', 'Environments');
	await stage.link(environment, stage.page.getByRole('table')).click();
	await stage.heading(environment).waitFor();
	await stage.arrive(`/environments/${environment}`);
	assert.equal(await stage.checkbox(REVEAL).isChecked(), true);
	assert.equal(await stage.checkbox(WRITE_ONLY).isChecked(), false);
	await stage.checkbox(REVEAL).uncheck();
	await stage.checkbox(WRITE_ONLY).check();
	await stage.button('Save settings').click();
	await eventually('the settings are saved', async () => {
		const settings = await stage.api.settings(environment);
		return !settings.allowSecretReveal && settings.neverRevealByDefault;
	});
	await stage.toast(/saved/i);
	await stage.page.reload();
	await stage.heading(environment).waitFor();
	await eventually(
		'the settings are shown',
		async () => !(await stage.checkbox(REVEAL).isChecked()) && stage.checkbox(WRITE_ONLY).isChecked(),
	);
	await stage.button('Restore defaults').click();
	const sure = stage.page.getByRole('dialog');
	if (await sure.count()) await sure.getByRole('button', { name: 'Restore defaults' }).click();
	await eventually(
		'the defaults are restored',
		async () => (await stage.api.settings(environment)).allowSecretReveal,
	);
	await eventually('the defaults are shown', async () => stage.checkbox(REVEAL).isChecked());
	assert.equal(await stage.checkbox(WRITE_ONLY).isChecked(), false);
});

check('delete an empty environment after typing its name', async (stage) => {
	const environment = await stage.environment();
	await stage.open(`/environments/${environment}`, environment);
	const dialog = await stage.press('Delete environment', `Delete ${environment}`);
	const typed = stage.field(`Type ${environment} to confirm`, dialog);
	const submit = stage.button('Delete environment', dialog);
	await typed.fill(`${environment}x`);
	if (await submit.isEnabled()) {
		await submit.click();
		await stage.refused(typed, new RegExp(environment));
	}
	assert.ok((await stage.api.environments()).some((one) => one.name === environment));
	assert.equal(await dialog.getByRole('checkbox').count(), 0, 'it is empty');
	await typed.fill(environment);
	await submit.click();
	await stage.arrive('/environments');
	assert.ok(!(await stage.api.environments()).some((one) => one.name === environment));
	assert.equal(await stage.link(environment).count(), 0);
});

check('delete an environment with secrets only after confirming that they go too', { allow: [409] }, async (stage) => {
	const environment = await stage.environment();
	await stage.api.addSecret(environment, 'ONE');
	await stage.api.addSecret(environment, 'TWO');
	await stage.api.addVar(environment, 'PORT', '1');
	await stage.open(`/environments/${environment}`, environment);
	const dialog = await stage.press('Delete environment', `Delete ${environment}`);
	const typed = stage.field(`Type ${environment} to confirm`, dialog);
	const submit = stage.button('Delete environment', dialog);
	await typed.fill(environment);
	if (await submit.isEnabled()) {
		await submit.click();
		await eventually(
			'the error is shown',
			async () =>
				/secrets/.test(await dialog.innerText()) &&
				(await dialog.locator('[aria-invalid=true], [role=alert]').count()) > 0,
		);
	}
	assert.ok((await stage.api.environments()).some((one) => one.name === environment));
	await dialog.getByText('Deletes 2 secrets and 1 variable.').waitFor();
	await stage.checkbox('Also delete the secrets and variables', dialog).check();
	await submit.click();
	await stage.arrive('/environments');
	assert.ok(!(await stage.api.environments()).some((one) => one.name === environment));
});

check('a secret was added while the dialog was open', { allow: [409] }, async (stage) => {
	const environment = await stage.environment();
	await stage.open(`/environments/${environment}`, environment);
	const dialog = await stage.press('Delete environment', `Delete ${environment}`);
	await stage.api.addSecret(environment, 'LATE');
	await stage.field(`Type ${environment} to confirm`, dialog).fill(environment);
	await stage.button('Delete environment', dialog).click();
	await stage.alert(/secrets?\b/i, /req_\w+/);
	assert.ok(await stage.api.secret(environment, 'LATE'));
});
