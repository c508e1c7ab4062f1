// A value that is revealed: shown to whom asked, copied, and out of the document
// again by every way there is.

import assert from 'node:assert/strict';
import { eventually, suite } from './harness.mjs';
import { Trail } from './harness/trail.mjs';

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
  await region.getByText(/Hidden again in \d+ s/).waitFor();
  return { environment, dialog, region };
}

/** In no text, no attribute and no field. The answer that brought it is expected. */
async function assertGone(stage) {
  const trail = new Trail(stage);
  trail.plant('the revealed value', VALUE);
  await eventually('the value is out of the page', async () => {
    const findings = (await trail.findings()).filter((one) => !one.startsWith('the answer of '));
    assert.deepEqual(findings, []);
    return true;
  });
}

check('shown, and hidden by the button', async (stage) => {
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

check('copied', async (stage) => {
  await stage.context.grantPermissions(['clipboard-read', 'clipboard-write'], { origin: stage.url });
  const { region } = await revealed(stage);
  await stage.button('Copy value', region).click();
  await stage.toast(/cop/i);
  // As a person does it: pasted into another page.
  const other = await stage.context.newPage();
  await other.setContent('<textarea aria-label="paste"></textarea>');
  await other.getByRole('textbox').focus();
  await other.keyboard.press('ControlOrMeta+V');
  assert.equal(await other.getByRole('textbox').inputValue(), VALUE);
  await other.close();
});

check('gone when the dialog closes', async (stage) => {
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

check('gone by Escape', async (stage) => {
  const { dialog } = await revealed(stage);
  await stage.page.keyboard.press('Escape');
  await stage.gone(dialog);
  await assertGone(stage);
});

check('gone on the way back', async (stage) => {
  const { dialog } = await revealed(stage);
  await stage.page.goBack();
  await stage.gone(dialog);
  await assertGone(stage);
});

check('gone after 30 s, and not before', async (stage) => {
  await stage.page.clock.install();
  const { region } = await revealed(stage);
  await stage.page.clock.runFor(20_000);
  await region.getByText(VALUE, { exact: true }).waitFor();
  await region.getByText(/Hidden again in ([1-9]|10) s/).waitFor();
  await stage.page.clock.runFor(11_000);
  await stage.gone(region);
  await assertGone(stage);
});

check('gone when the tab is hidden', async (stage) => {
  const { region } = await revealed(stage);
  // A headless tab is never hidden by itself.
  await stage.page.evaluate(() => {
    Object.defineProperty(document, 'visibilityState', { configurable: true, get: () => 'hidden' });
    Object.defineProperty(document, 'hidden', { configurable: true, get: () => true });
    document.dispatchEvent(new Event('visibilitychange'));
  });
  await stage.gone(region);
  await assertGone(stage);
});

check('gone when the page is left, also from the page cache', async (stage) => {
  const { region } = await revealed(stage);
  await stage.page.goto('/api/docs');
  await stage.page.goBack();
  await stage.dialog('SHOWN').waitFor();
  assert.equal(await region.count(), 0);
  await assertGone(stage);
});

check('gone when the session is', { as: null, allow: [401] }, async (stage) => {
  const user = await stage.coffer.user('brief', 'admin');
  await stage.become(user, true);
  const { dialog } = await revealed(stage);
  await stage.api.delete(`/api/users/${user.id}/sessions`);
  await stage.button('Copy to another environment', dialog).click();
  await stage.page.getByRole('dialog').last().getByRole('button', { name: 'Copy secret' }).click();
  await stage.heading('Log in').waitFor();
  await assertGone(stage);
});
