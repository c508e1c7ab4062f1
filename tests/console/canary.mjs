// A write-only value typed into a form afterwards exists only in the body of the one
// request that carried it. harness/trail.mjs lists the places that are searched.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { LeakSearch } from './harness/trail.mjs';
import { eventually, suite } from './harness.mjs';

const check = suite();

/** A value that every kind of escaping changes, around a token that none changes. */
function canary() {
	const token = `Kq${randomBytes(15).toString('hex')}`;
	return { token, value: `é"\\/<&+ %=?~>${token}\u{1F511}ß\`$}}` };
}

function planted(stage, ...requests) {
	const leaks = new LeakSearch(stage);
	const { token, value } = canary();
	leaks.plant('the canary', value, token);
	leaks.allowInBody(...requests);
	return { leaks, value, token };
}

/** Visits every page that might bring the value back. */
async function assertNowhere(stage, leaks, environment) {
	await leaks.assertClean();
	await stage.link('Variables').click();
	await stage.heading('Variables').waitFor();
	await leaks.assertClean();
	await stage.page.goBack();
	await stage.heading('Secrets').waitFor();
	await leaks.assertClean();
	await stage.page.goForward();
	await stage.heading('Variables').waitFor();
	await stage.page.goto(`/secrets/${environment}`);
	await stage.heading('Secrets').waitFor();
	await leaks.assertClean();
	await stage.page.reload();
	await stage.heading('Secrets').waitFor();
	await leaks.assertClean();
	await stage.open('/audit', 'Audit log');
	await leaks.assertClean();
}

check('add a secret', async (stage) => {
	const environment = await stage.environment();
	const carrier = /^POST \/api\/environments\/\w+[\w-]*\/secrets$/;
	const { leaks, value, token } = planted(stage, carrier);
	await stage.open(`/secrets/${environment}`, 'Secrets');
	const dialog = await stage.press('Add secret', 'Add a secret', stage.page.getByRole('main'));
	await stage.field('Key', dialog).fill('CANARY');
	await stage.field('Value', dialog).fill(value.slice(0, -token.length));
	await stage.field('Value', dialog).fill('');
	await stage.field('Value', dialog).pressSequentially(value);
	await stage.checkbox('Write-only', dialog).check();
	await leaks.assertClean({ inField: true });
	await stage.button('Show value', dialog).click();
	await leaks.assertClean({ inField: true });
	await stage.button('Add secret', dialog).click();
	await stage.gone(dialog);
	await stage.link('CANARY').waitFor();
	leaks.assertSent(carrier);
	await leaks.assertClean();
	const about = await stage.follow('CANARY');
	await about.getByText('Nobody can view this value.').waitFor();
	await leaks.assertClean();
	await stage.button('Close', about).click();
	await assertNowhere(stage, leaks, environment);
	// The request carried what was typed; a write-only value cannot be read back.
	assert.equal((await stage.api.secret(environment, 'CANARY')).neverReveal, true);
});

check('replace a value', async (stage) => {
	const environment = await stage.environment();
	await stage.api.addSecret(environment, 'CANARY', 'before', { neverReveal: true });
	const { leaks, value } = planted(stage, /^PATCH \/api\/secrets\/\w+$/);
	await stage.open(`/secrets/${environment}/CANARY`, 'Secrets');
	const dialog = stage.dialog('CANARY');
	const replace = await stage.press('Replace value', 'Replace the value of CANARY', dialog);
	await stage.field('Value', replace).fill(value);
	await stage.button('Replace value', replace).click();
	await stage.gone(replace);
	leaks.assertSent(/^PATCH \/api\/secrets\/\w+$/);
	await leaks.assertClean();
	await stage.button('Close', dialog).click();
	await assertNowhere(stage, leaks, environment);
});

check('import a .env file', async (stage) => {
	const environment = await stage.environment();
	const carrier = /^POST \/api\/environments\/[\w-]+\/secrets\/import$/;
	const leaks = new LeakSearch(stage);
	const { token } = canary();
	const value = `"\\/<&+ %=?~>${token}ß`;
	leaks.plant('the canary', value, token);
	leaks.allowInBody(carrier);
	await stage.open(`/secrets/${environment}`, 'Secrets');
	const dialog = await stage.press('Import .env', 'Import a .env file', stage.page.getByRole('main'));
	await stage.checkbox('Write-only', dialog).check();
	await stage.field('.env contents', dialog).fill(`CANARY='${value}'\nOTHER=1\n`);
	await stage.row('CANARY', dialog.getByRole('table')).waitFor();
	await leaks.assertClean({ inField: true });
	await stage.button('Import 2 secrets', dialog).click();
	await stage.button('Done', dialog).waitFor();
	leaks.assertSent(carrier);
	await leaks.assertClean();
	await stage.button('Done', dialog).click();
	await stage.gone(dialog);
	await assertNowhere(stage, leaks, environment);
});

check('import an invalid line', { allow: [400] }, async (stage) => {
	const environment = await stage.environment();
	const { leaks, token } = planted(stage, /^POST \/api\/environments\/[\w-]+\/secrets\/import$/);
	await stage.open(`/secrets/${environment}`, 'Secrets');
	const dialog = await stage.press('Import .env', 'Import a .env file', stage.page.getByRole('main'));
	const lines = `GOOD=1\n${token} is no line\nbad-key=${token}\nOPEN="${token}`;
	await stage.field('.env contents', dialog).fill(lines);
	await eventually('the error is shown', async () => /line 2\b/i.test(await dialog.innerText()));
	await leaks.assertClean({ inField: true });
	await stage.page.keyboard.press('Escape');
	await stage.gone(dialog);
	await assertNowhere(stage, leaks, environment);
});

check('paste several lines into a value', async (stage) => {
	const environment = await stage.environment();
	const { leaks, token } = planted(stage);
	await stage.open(`/secrets/${environment}`, 'Secrets');
	const dialog = await stage.press('Add secret', 'Add a secret', stage.page.getByRole('main'));
	await stage.field('Value', dialog).focus();
	await stage.page.evaluate((text) => {
		const data = new DataTransfer();
		data.setData('text/plain', text);
		const event = { clipboardData: data, bubbles: true, cancelable: true };
		document.activeElement.dispatchEvent(new ClipboardEvent('paste', event));
	}, `ONE=${token}\nTWO=${token}\n`);
	await dialog.getByText('Looks like 2 lines of a .env file.').waitFor();
	await leaks.assertClean({ inField: true });
	await stage.button('Cancel', dialog).click();
	await stage.gone(dialog);
	await assertNowhere(stage, leaks, environment);
});

check('type a value that is rejected', { allow: [400, 409] }, async (stage) => {
	const environment = await stage.environment();
	await stage.api.addSecret(environment, 'TAKEN');
	const carrier = /^POST \/api\/environments\/[\w-]+\/secrets$/;
	const { leaks, value } = planted(stage, carrier);
	await stage.open(`/secrets/${environment}`, 'Secrets');
	const dialog = await stage.press('Add secret', 'Add a secret', stage.page.getByRole('main'));
	await stage.field('Key', dialog).fill('TAKEN');
	await stage.field('Value', dialog).fill(value);
	await stage.button('Add secret', dialog).click();
	await stage.refused(stage.field('Key', dialog), /exists/i);
	await leaks.assertClean({ inField: true });
	await stage.button('Cancel', dialog).click();
	await stage.gone(dialog);
	await assertNowhere(stage, leaks, environment);
});

for (const [how, leave] of [
	['cancel', async (stage, dialog) => stage.button('Cancel', dialog).click()],
	['press Escape', async (stage) => stage.page.keyboard.press('Escape')],
	['go back', async (stage) => stage.page.goBack()],
	['reload', async (stage) => stage.page.reload()],
]) {
	check(`type a value, then ${how}`, async (stage) => {
		const environment = await stage.environment();
		await stage.open(`/vars/${environment}`, 'Variables');
		await stage.link('Secrets').click();
		await stage.heading('Secrets').waitFor();
		const { leaks, value } = planted(stage);
		const dialog = await stage.press('Add secret', 'Add a secret', stage.page.getByRole('main'));
		await stage.field('Key', dialog).fill('CANARY');
		await stage.field('Value', dialog).fill(value);
		await leave(stage, dialog);
		await stage.gone(dialog);
		await stage.heading().waitFor();
		await leaks.assertClean();
		if (how === 'go back') await stage.page.goForward();
		await stage.heading('Secrets').waitFor();
		await leaks.assertClean();
		const again = await stage.press('Add secret', 'Add a secret', stage.page.getByRole('main'));
		assert.equal(await stage.field('Value', again).inputValue(), '');
		assert.equal(await stage.field('Key', again).inputValue(), '');
		await leaks.assertClean();
	});
}

check('type a value, visit another page, go back (page cache)', async (stage) => {
	const environment = await stage.environment();
	const { leaks, value } = planted(stage);
	await stage.open(`/secrets/${environment}`, 'Secrets');
	const dialog = await stage.press('Add secret', 'Add a secret', stage.page.getByRole('main'));
	await stage.field('Key', dialog).fill('CANARY');
	await stage.field('Value', dialog).fill(value);
	await stage.page.goto('/health');
	await stage.page.goBack();
	await stage.heading('Secrets').waitFor();
	await leaks.assertClean();
});

check('type a value, then log out in another tab', { as: null, allow: [401] }, async (stage) => {
	const environment = await stage.environment();
	const user = await stage.coffer.user('typist', 'operator');
	await stage.become(user, true);
	const carrier = /^POST \/api\/environments\/[\w-]+\/secrets$/;
	const { leaks, value } = planted(stage, carrier);
	await stage.open(`/secrets/${environment}`, 'Secrets');
	const dialog = await stage.press('Add secret', 'Add a secret', stage.page.getByRole('main'));
	await stage.field('Key', dialog).fill('CANARY');
	await stage.field('Value', dialog).fill(value);
	await stage.api.delete(`/api/users/${user.id}/sessions`);
	await stage.button('Add secret', dialog).click();
	await stage.heading('Log in').waitFor();
	await leaks.assertClean();
});

check('the leak search finds planted values', async (stage) => {
	const environment = await stage.environment();
	const { leaks, value, token } = planted(stage);
	await stage.open(`/secrets/${environment}`, 'Secrets');
	await leaks.assertClean();
	const places = {
		'the document': (text) => {
			document.body.dataset.planted = text;
		},
		storage: (text) => {
			localStorage.planted = btoa(unescape(encodeURIComponent(text)));
		},
		'the URL': (text) => {
			history.replaceState(null, '', `#${encodeURIComponent(text)}`);
		},
		history: (text) => {
			history.replaceState({ text }, '');
		},
		'the console': (text) => {
			console.log(text);
		},
	};
	for (const [place, plant] of Object.entries(places)) {
		await stage.page.evaluate(plant, value);
		const found = await leaks.findings();
		assert.ok(
			found.some((one) => one.startsWith(`${place} holds`)),
			`${place}: ${found}`,
		);
	}
	assert.ok(token);
});
