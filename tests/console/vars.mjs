// Variables: every action once, and invalid input.

import assert from 'node:assert/strict';
import { eventually, suite } from './harness.mjs';

const check = suite();

check('an empty environment explains what to do', async (stage) => {
	const environment = await stage.environment();
	await stage.open(`/vars/${environment}`, 'Variables');
	await stage.page.getByText(`No variables in ${environment} yet`).waitFor();
	assert.equal(await stage.page.title(), `Variables · ${environment} · coffer`);
});

check('add, edit, delete', async (stage) => {
	const environment = await stage.environment();
	await stage.open(`/vars/${environment}`, 'Variables');
	await stage.button('Add variable', stage.page.getByRole('main')).click();
	const dialog = stage.page.getByRole('dialog');
	await stage.field('Key', dialog).fill('LOG_LEVEL');
	await stage.field('Value', dialog).fill('debug <b>');
	await stage.field('Description (optional)', dialog).fill('how much');
	await stage.button('Add variable', dialog).click();
	await stage.gone(dialog);
	await stage.toast('LOG_LEVEL');
	assert.match(await stage.row('LOG_LEVEL').innerText(), /debug <b>[\s\S]*how much/);
	const added = await stage.api.variable(environment, 'LOG_LEVEL');
	assert.equal(added.value, 'debug <b>');
	assert.equal(added.description, 'how much');

	const about = await stage.follow('LOG_LEVEL');
	await stage.arrive(`/vars/${environment}/LOG_LEVEL`);
	await stage.button('Edit variable', about).click();
	const value = stage.page.getByRole('dialog').getByRole('textbox', { name: 'Value', exact: true });
	assert.equal(await value.inputValue(), 'debug <b>');
	await value.fill('info');
	await stage.page.getByRole('dialog').getByRole('button', { name: /^Save/ }).click();
	await eventually(
		'the value is changed',
		async () => (await stage.api.variable(environment, 'LOG_LEVEL')).value === 'info',
	);
	await about.getByText('info', { exact: true }).waitFor();

	await stage.button('Delete variable', about).click();
	const sure = stage.dialog('Delete LOG_LEVEL');
	await sure.waitFor();
	const typed = stage.field('Type LOG_LEVEL to confirm', sure);
	if (await typed.count()) await typed.fill('LOG_LEVEL');
	await stage.button('Delete variable', sure).click();
	await stage.arrive(`/vars/${environment}`);
	await stage.page.getByText(`No variables in ${environment} yet`).waitFor();
	assert.equal(await stage.api.variable(environment, 'LOG_LEVEL'), undefined);
});

check('an invalid key and an existing one', { allow: [400, 409] }, async (stage) => {
	const environment = await stage.environment();
	await stage.api.addVar(environment, 'TAKEN', 'x');
	await stage.open(`/vars/${environment}`, 'Variables');
	await stage.button('Add variable', stage.page.getByRole('main')).click();
	const dialog = stage.page.getByRole('dialog');
	await stage.field('Value', dialog).fill('y');
	await stage.field('Key', dialog).fill('not-a-key');
	await stage.button('Add variable', dialog).click();
	await stage.refused(stage.field('Key', dialog), /[A-Z]/);
	await stage.field('Key', dialog).fill('TAKEN');
	await stage.button('Add variable', dialog).click();
	await stage.refused(stage.field('Key', dialog), /exists/i);
	assert.equal((await stage.api.variable(environment, 'TAKEN')).value, 'x');
});

check('someone else changed the variable first', { allow: [409] }, async (stage) => {
	const environment = await stage.environment();
	const { id } = await stage.api.addVar(environment, 'RACED', 'one');
	await stage.open(`/vars/${environment}/RACED`, 'Variables');
	await stage.button('Edit variable', stage.dialog('RACED')).click();
	const value = stage.page.getByRole('dialog').getByRole('textbox', { name: 'Value', exact: true });
	await value.fill('three');
	await stage.api.patch(`/api/vars/${id}`, { value: 'two' });
	await stage.page.getByRole('dialog').getByRole('button', { name: /^Save/ }).click();
	await stage.alert(/version|changed|meanwhile/i, /req_\w+/);
	assert.equal((await stage.api.variable(environment, 'RACED')).value, 'two');
});

check('filter', async (stage) => {
	const environment = await stage.environment();
	for (const [key, value] of [
		['PORT', '8080'],
		['HOST', 'localhost'],
		['LOG_LEVEL', 'info'],
	]) {
		await stage.api.addVar(environment, key, value);
	}
	await stage.open(`/vars/${environment}`, 'Variables');
	const filter = stage.page.getByRole('searchbox', { name: 'Filter variables' });
	await filter.fill('host');
	await stage.page.locator('#count').filter({ hasText: '1 of 3 variables' }).waitFor();
	await stage.link('HOST').waitFor();
	assert.equal(await stage.link('PORT').count(), 0);
});
