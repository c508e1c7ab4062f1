// Revealing a value: it is shown and copied, and every way of leaving removes it from the
// document.

import assert from 'node:assert/strict';
import { LeakSearch } from './harness/trail.mjs';
import { eventually, suite } from './harness.mjs';

const check = suite();
const VALUE = 'Kq3f-revealed & <shown> "4b71c9e0"';

async function revealed(stage) {
	const environment = await stage.environment();
	await stage.api.addSecret(environment, 'SHOWN', VALUE);
	await stage.open(`/secrets/${environment}`, 'Secrets');
	const dialog = await stage.follow('SHOWN');
	await stage.button('Reveal value', dialog).click();
	const region = dialog.getByRole('region', { name: 'Value', exact: true });
	await region.getByText(VALUE, { exact: true }).waitFor();
	await region.getByText(/Hides in \d+ s/).waitFor();
	return { environment, dialog, region };
}

/** Searches everywhere but in the response that carried the value. */
async function assertGone(stage) {
	const leaks = new LeakSearch(stage);
	leaks.plant('the revealed value', VALUE);
	await eventually('the value is no longer in the page', async () => {
		const findings = (await leaks.findings()).filter((one) => !one.startsWith('the response of '));
		assert.deepEqual(findings, []);
		return true;
	});
}

check('reveal a value and hide it with the button', async (stage) => {
	const { region, dialog } = await revealed(stage);
	const [row] = await stage.api.audit('secret.reveal');
	assert.equal(row.resourceName, 'SHOWN');
	assert.equal(row.success, true);
	await stage.button('Hide value', region).click();
	await stage.gone(region);
	await assertGone(stage);
	await stage.button('Reveal value', dialog).click();
	await region.getByText(VALUE, { exact: true }).waitFor();
});

check('copy the value', async (stage) => {
	await stage.context.grantPermissions(['clipboard-read', 'clipboard-write'], { origin: stage.url });
	const { region } = await revealed(stage);
	await stage.button('Copy value', region).click();
	await stage.toast(/cop/i);
	// Paste into another page, as a user would.
	const other = await stage.context.newPage();
	await other.setContent('<textarea aria-label="paste"></textarea>');
	await other.getByRole('textbox').focus();
	await other.keyboard.press('ControlOrMeta+V');
	assert.equal(await other.getByRole('textbox').inputValue(), VALUE);
	await other.close();
});

check('removed when the dialog closes', async (stage) => {
	const { dialog, environment } = await revealed(stage);
	await stage.button('Close', dialog).click();
	await stage.gone(dialog);
	await assertGone(stage);
	await stage.page.goBack();
	await stage.page.goForward();
	await assertGone(stage);
	await stage.page.goto(`/secrets/${environment}/SHOWN`);
	await stage.dialog('SHOWN').waitFor();
	await assertGone(stage);
});

check('removed by Escape', async (stage) => {
	const { dialog } = await revealed(stage);
	await stage.page.keyboard.press('Escape');
	await stage.gone(dialog);
	await assertGone(stage);
});

check('removed on going back', async (stage) => {
	const { dialog } = await revealed(stage);
	await stage.page.goBack();
	await stage.gone(dialog);
	await assertGone(stage);
});

check('removed after 30 s and not before', async (stage) => {
	await stage.page.clock.install();
	const { region } = await revealed(stage);
	await stage.page.clock.runFor(20_000);
	await region.getByText(VALUE, { exact: true }).waitFor();
	await region.getByText(/Hides in ([1-9]|10) s/).waitFor();
	await stage.page.clock.runFor(11_000);
	await stage.gone(region);
	await assertGone(stage);
});

check('removed when the tab is hidden', async (stage) => {
	const { region } = await revealed(stage);
	// A headless browser never hides a tab, so simulate it.
	await stage.page.evaluate(() => {
		Object.defineProperty(document, 'visibilityState', { configurable: true, get: () => 'hidden' });
		Object.defineProperty(document, 'hidden', { configurable: true, get: () => true });
		document.dispatchEvent(new Event('visibilitychange'));
	});
	await stage.gone(region);
	await assertGone(stage);
});

check('removed on leaving the page, also from the page cache', async (stage) => {
	const { region } = await revealed(stage);
	await stage.page.goto('/api/docs');
	await stage.page.goBack();
	await stage.dialog('SHOWN').waitFor();
	assert.equal(await region.count(), 0);
	await assertGone(stage);
});

check('removed when the session ends', { as: null, allow: [401] }, async (stage) => {
	const user = await stage.coffer.user('brief', 'admin');
	await stage.become(user, true);
	const { dialog } = await revealed(stage);
	await stage.api.delete(`/api/users/${user.id}/sessions`);
	await stage.button('Copy to another environment', dialog).click();
	await stage.page.getByRole('dialog').last().getByRole('button', { name: 'Copy secret' }).click();
	await stage.heading('Log in').waitFor();
	await assertGone(stage);
});
