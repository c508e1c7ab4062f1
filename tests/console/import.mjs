// Importing a .env file: paste or choose it, preview it with a dry run, import it.

import assert from 'node:assert/strict';
import { eventually, suite } from './harness.mjs';

const check = suite();
const DIALOG = 'Import a .env file';

async function importing(stage, environment, view = 'secrets', heading = 'Secrets') {
	await stage.open(`/${view}/${environment}`, heading);
	const dialog = await stage.press('Import .env', DIALOG, stage.page.getByRole('main'));
	return { dialog, lines: stage.field('.env contents', dialog) };
}

check('paste, preview and import', async (stage) => {
	const environment = await stage.environment();
	await stage.api.addSecret(environment, 'THERE', 'old');
	const { dialog, lines } = await importing(stage, environment);
	assert.notEqual(await lines.evaluate((field) => getComputedStyle(field).webkitTextSecurity), 'none');
	await stage.button('Show values', dialog).click();
	assert.equal(await lines.evaluate((field) => getComputedStyle(field).webkitTextSecurity), 'none');
	await lines.fill('# what the app needs\nexport NEW_ONE="Kq 1"\nNEW_TWO=\'Kq #2\'\nTHERE=Kq3\n\n');
	const preview = dialog.getByRole('table');
	await preview.waitFor();
	for (const key of ['NEW_ONE', 'NEW_TWO', 'THERE']) await stage.row(key, preview).waitFor();
	assert.ok(!/Kq/.test(await preview.innerText()), 'the preview shows no values');
	assert.equal(await stage.api.secret(environment, 'NEW_ONE'), undefined, 'the preview saves nothing');
	await stage.select('If a key already exists', dialog).selectOption({ label: 'Replace its value' });
	await stage.button('Import 3 secrets', dialog).click();
	await stage.button('Done', dialog).waitFor();
	for (const key of ['NEW_ONE', 'NEW_TWO', 'THERE']) await stage.row(key, dialog).waitFor();
	await stage.button('Done', dialog).click();
	await stage.gone(dialog);
	for (const [key, value] of [
		['NEW_ONE', 'Kq 1'],
		['NEW_TWO', 'Kq #2'],
		['THERE', 'Kq3'],
	]) {
		await stage.link(key).waitFor();
		const { id } = await stage.api.secret(environment, key);
		assert.equal(await stage.api.value(id), value);
	}
});

check('skip existing keys', async (stage) => {
	const environment = await stage.environment();
	await stage.api.addSecret(environment, 'THERE', 'old');
	const { dialog, lines } = await importing(stage, environment);
	await stage.select('If a key already exists', dialog).selectOption({ label: 'Skip it' });
	await lines.fill('THERE=new\nFRESH=1');
	await eventually('the preview says so', async () =>
		/skip|left|stays/i.test(await stage.row('THERE', dialog.getByRole('table')).innerText()),
	);
	await dialog.getByRole('button', { name: /^Import \d+ secrets?$/ }).click();
	await stage.button('Done', dialog).click();
	const { id, version } = await stage.api.secret(environment, 'THERE');
	assert.equal(version, 1);
	assert.equal(await stage.api.value(id), 'old');
	assert.ok(await stage.api.secret(environment, 'FRESH'));
});

check('import nothing if a key exists', { allow: [409] }, async (stage) => {
	const environment = await stage.environment();
	await stage.api.addSecret(environment, 'THERE', 'old');
	const { dialog, lines } = await importing(stage, environment);
	await stage.select('If a key already exists', dialog).selectOption({ label: 'Import nothing' });
	await lines.fill('THERE=new\nFRESH=1');
	await eventually('the preview says so', async () =>
		/conflict|exists|there/i.test(await stage.row('THERE', dialog.getByRole('table')).innerText()),
	);
	const submit = dialog.getByRole('button', { name: /^Import \d+ secrets?$/ });
	if (await submit.isEnabled()) {
		await submit.click();
		await eventually('the error is shown', async () => /exists|conflict/i.test(await dialog.innerText()));
	}
	assert.equal(await stage.api.secret(environment, 'FRESH'), undefined);
});

check('import a file as write-only', async (stage) => {
	const environment = await stage.environment();
	const { dialog } = await importing(stage, environment);
	await stage.checkbox('Write-only', dialog).check();
	await dialog.getByLabel('Choose a file').setInputFiles({
		name: '.env',
		mimeType: 'text/plain',
		buffer: Buffer.from('FROM_FILE=é\r\nSECOND=2\r\n'),
	});
	await stage.row('FROM_FILE', dialog.getByRole('table')).waitFor();
	await stage.button('Import 2 secrets', dialog).click();
	await stage.button('Done', dialog).click();
	for (const key of ['FROM_FILE', 'SECOND']) {
		assert.equal((await stage.api.secret(environment, key)).neverReveal, true);
	}
});

check('the error for an invalid line has its number', { allow: [400] }, async (stage) => {
	const environment = await stage.environment();
	const { dialog, lines } = await importing(stage, environment);
	for (const [number, text] of [
		[2, 'GOOD=1\nwords without a sign\nOTHER=2'],
		[3, 'GOOD=1\nOTHER=2\nlower-case=3\n'],
		[1, 'OPEN="never closed\n'],
		[4, '# a comment\n\nGOOD=1\nHASH=a#never closed\n'],
	]) {
		await lines.fill(text);
		await eventually(`the error has line ${number}`, async () =>
			new RegExp(`line ${number}\\b`, 'i').test(await dialog.innerText()),
		);
		const shown = await dialog.innerText();
		assert.ok(!/without a sign|lower-case|never closed/.test(shown), 'the error does not quote the line');
	}
	assert.deepEqual(await stage.api.secrets(environment), []);
	await lines.fill('GOOD=1\n');
	await stage.row('GOOD', dialog.getByRole('table')).waitFor();
	assert.ok(!/line \d/i.test(await dialog.innerText()), 'the error goes after the line is fixed');
});

check('a duplicate key', { allow: [400] }, async (stage) => {
	const environment = await stage.environment();
	const { dialog, lines } = await importing(stage, environment);
	await lines.fill('TWICE=1\nONCE=2\nTWICE=3\n');
	// innerText does not include the field, so TWICE comes from the error.
	await eventually('the error is shown', async () => /TWICE|line 3/.test(await dialog.innerText()));
});

check('paste several lines into the key or the value', async (stage) => {
	const environment = await stage.environment();
	await stage.open(`/secrets/${environment}`, 'Secrets');
	for (const field of ['Key', 'Value']) {
		const dialog = await stage.press('Add secret', 'Add a secret', stage.page.getByRole('main'));
		await stage.field(field, dialog).focus();
		await stage.page.evaluate(() => {
			const data = new DataTransfer();
			data.setData('text/plain', 'PASTED_ONE=1\nPASTED_TWO=2\nPASTED_THREE=3\n');
			const event = new ClipboardEvent('paste', { clipboardData: data, bubbles: true, cancelable: true });
			document.activeElement.dispatchEvent(event);
		});
		await dialog.getByText('Looks like 3 lines of a .env file.').waitFor();
		if (field === 'Key') {
			await stage.button('Cancel', dialog).click();
			await stage.gone(dialog);
			continue;
		}
		await stage.button('Import 3 lines', dialog).click();
		const all = stage.dialog(DIALOG);
		await stage.row('PASTED_THREE', all.getByRole('table')).waitFor();
		await stage.button('Import 3 secrets', all).click();
		await stage.button('Done', all).click();
		await stage.link('PASTED_TWO').waitFor();
	}
	assert.equal((await stage.api.secrets(environment)).length, 3);
});

check('a line pasted into the key field does not stay there in plain text', async (stage) => {
	const environment = await stage.environment();
	await stage.open(`/secrets/${environment}`, 'Secrets');
	const dialog = await stage.press('Add secret', 'Add a secret', stage.page.getByRole('main'));
	await stage.field('Key', dialog).focus();
	await stage.page.evaluate(() => {
		const data = new DataTransfer();
		data.setData('text/plain', 'PASTED=the value');
		const event = new ClipboardEvent('paste', { clipboardData: data, bubbles: true, cancelable: true });
		document.activeElement.dispatchEvent(event);
	});
	await dialog.getByText('Looks like KEY=value.').waitFor();
	assert.equal(await stage.field('Key', dialog).inputValue(), '');
	await stage.button('Split it', dialog).click();
	const all = stage.dialog(DIALOG);
	await stage.row('PASTED', all.getByRole('table')).waitFor();
	await stage.button('Import 1 secret', all).click();
	await stage.button('Done', all).click();
	assert.equal(await stage.api.value((await stage.api.secret(environment, 'PASTED')).id), 'the value');
});

check('import variables', async (stage) => {
	const environment = await stage.environment();
	const { dialog, lines } = await importing(stage, environment, 'vars', 'Variables');
	assert.equal(await stage.checkbox('Write-only', dialog).count(), 0);
	await lines.fill('PORT=8080\nHOST=localhost\n');
	await stage.row('PORT', dialog.getByRole('table')).waitFor();
	await stage.button('Import 2 variables', dialog).click();
	await stage.button('Done', dialog).click();
	await stage.link('PORT').waitFor();
	assert.equal((await stage.api.variable(environment, 'PORT')).value, '8080');
});
