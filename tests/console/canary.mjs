// A write-only value that is typed into a form is afterwards nowhere but in the body
// of the one request that carried it: see harness/trail.mjs for where one looks.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { eventually, suite } from './harness.mjs';
import { Trail } from './harness/trail.mjs';

const check = suite();

/** Looks different after each kind of escaping, around a plain piece. */
function canary() {
  const token = `Kq${randomBytes(15).toString('hex')}`;
  return { token, value: `é"\\/<&+ %=?~>${token}\u{1F511}ß\`$}}` };
}

function planted(stage, ...requests) {
  const trail = new Trail(stage);
  const { token, value } = canary();
  trail.plant('the canary', value, token);
  trail.sentBy(...requests);
  return { trail, value, token };
}

/** Through everything that might bring it back. */
async function assertNowhere(stage, trail, environment) {
  await trail.assertClean();
  await stage.link('Vars').click();
  await stage.heading('Vars').waitFor();
  await trail.assertClean();
  await stage.page.goBack();
  await stage.heading('Secrets').waitFor();
  await trail.assertClean();
  await stage.page.goForward();
  await stage.heading('Vars').waitFor();
  await stage.page.goto(`/secrets/${environment}`);
  await stage.heading('Secrets').waitFor();
  await trail.assertClean();
  await stage.page.reload();
  await stage.heading('Secrets').waitFor();
  await trail.assertClean();
  await stage.open('/audit', 'Audit log');
  await trail.assertClean();
}

check('added', async (stage) => {
  const environment = await stage.environment();
  const carrier = new RegExp(`^POST /api/environments/\\w+[\\w-]*/secrets$`);
  const { trail, value, token } = planted(stage, carrier);
  await stage.open(`/secrets/${environment}`, 'Secrets');
  const dialog = await stage.press('Add secret', 'Add a secret', stage.page.getByRole('main'));
  await stage.field('Key', dialog).fill('CANARY');
  await stage.field('Value', dialog).fill(value.slice(0, -token.length));
  await stage.field('Value', dialog).fill('');
  await stage.field('Value', dialog).pressSequentially(value);
  await stage.checkbox('Write-only', dialog).check();
  await trail.assertClean({ inField: true });
  await stage.button('Show value', dialog).click();
  await trail.assertClean({ inField: true });
  await stage.button('Add secret', dialog).click();
  await stage.gone(dialog);
  await stage.link('CANARY').waitFor();
  trail.assertSent(carrier);
  await trail.assertClean();
  const about = await stage.follow('CANARY');
  await about.getByText('Nobody can see this value again').waitFor();
  await trail.assertClean();
  await stage.button('Close', about).click();
  await assertNowhere(stage, trail, environment);
  // What was sent is what was typed: delivered values can be checked, this one cannot.
  assert.equal((await stage.api.secret(environment, 'CANARY')).neverReveal, true);
});

check('replaced', async (stage) => {
  const environment = await stage.environment();
  await stage.api.addSecret(environment, 'CANARY', 'before', { neverReveal: true });
  const { trail, value } = planted(stage, /^PATCH \/api\/secrets\/\w+$/);
  await stage.open(`/secrets/${environment}/CANARY`, 'Secrets');
  const dialog = stage.dialog('CANARY');
  const replace = await stage.press('Replace value', 'Replace the value of CANARY', dialog);
  await stage.field('Value', replace).fill(value);
  await stage.button('Replace value', replace).click();
  await stage.gone(replace);
  trail.assertSent(/^PATCH \/api\/secrets\/\w+$/);
  await trail.assertClean();
  await stage.button('Close', dialog).click();
  await assertNowhere(stage, trail, environment);
});

check('imported', async (stage) => {
  const environment = await stage.environment();
  const carrier = /^POST \/api\/environments\/[\w-]+\/secrets\/import$/;
  const trail = new Trail(stage);
  const { token } = canary();
  const value = `"\\/<&+ %=?~>${token}ß`;
  trail.plant('the canary', value, token);
  trail.sentBy(carrier);
  await stage.open(`/secrets/${environment}`, 'Secrets');
  const dialog = await stage.press('Import .env', 'Import a .env file', stage.page.getByRole('main'));
  await stage.checkbox('Write-only', dialog).check();
  await stage.field('Lines of a .env file', dialog).fill(`CANARY='${value}'\nOTHER=1\n`);
  await stage.row('CANARY', dialog.getByRole('table')).waitFor();
  await trail.assertClean({ inField: true });
  await stage.button('Import 2 secrets', dialog).click();
  await stage.button('Done', dialog).waitFor();
  trail.assertSent(carrier);
  await trail.assertClean();
  await stage.button('Done', dialog).click();
  await stage.gone(dialog);
  await assertNowhere(stage, trail, environment);
});

check('in a line that cannot be read', { allow: [400] }, async (stage) => {
  const environment = await stage.environment();
  const { trail, token } = planted(stage, /^POST \/api\/environments\/[\w-]+\/secrets\/import$/);
  await stage.open(`/secrets/${environment}`, 'Secrets');
  const dialog = await stage.press('Import .env', 'Import a .env file', stage.page.getByRole('main'));
  const lines = `GOOD=1\n${token} is no line\nbad-key=${token}\nOPEN="${token}`;
  await stage.field('Lines of a .env file', dialog).fill(lines);
  await eventually('it is told', async () => /line 2\b/i.test(await dialog.innerText()));
  await trail.assertClean({ inField: true });
  await stage.page.keyboard.press('Escape');
  await stage.gone(dialog);
  await assertNowhere(stage, trail, environment);
});

check('pasted where several lines do not belong', async (stage) => {
  const environment = await stage.environment();
  const { trail, token } = planted(stage);
  await stage.open(`/secrets/${environment}`, 'Secrets');
  const dialog = await stage.press('Add secret', 'Add a secret', stage.page.getByRole('main'));
  await stage.field('Value', dialog).focus();
  await stage.page.evaluate((text) => {
    const data = new DataTransfer();
    data.setData('text/plain', text);
    const event = { clipboardData: data, bubbles: true, cancelable: true };
    document.activeElement.dispatchEvent(new ClipboardEvent('paste', event));
  }, `ONE=${token}\nTWO=${token}\n`);
  await dialog.getByText('These look like 2 lines of a .env file.').waitFor();
  await trail.assertClean({ inField: true });
  await stage.button('Cancel', dialog).click();
  await stage.gone(dialog);
  await assertNowhere(stage, trail, environment);
});

check('typed and refused', { allow: [400, 409] }, async (stage) => {
  const environment = await stage.environment();
  await stage.api.addSecret(environment, 'TAKEN');
  const carrier = /^POST \/api\/environments\/[\w-]+\/secrets$/;
  const { trail, value } = planted(stage, carrier);
  await stage.open(`/secrets/${environment}`, 'Secrets');
  const dialog = await stage.press('Add secret', 'Add a secret', stage.page.getByRole('main'));
  await stage.field('Key', dialog).fill('TAKEN');
  await stage.field('Value', dialog).fill(value);
  await stage.button('Add secret', dialog).click();
  await stage.refused(stage.field('Key', dialog), /exists/i);
  await trail.assertClean({ inField: true });
  await stage.button('Cancel', dialog).click();
  await stage.gone(dialog);
  await assertNowhere(stage, trail, environment);
});

for (const [how, leave] of [
  ['cancelled', async (stage, dialog) => stage.button('Cancel', dialog).click()],
  ['closed by Escape', async (stage) => stage.page.keyboard.press('Escape')],
  ['left by the way back', async (stage) => stage.page.goBack()],
  ['reloaded', async (stage) => stage.page.reload()],
]) {
  check(`typed, then ${how}`, async (stage) => {
    const environment = await stage.environment();
    await stage.open(`/vars/${environment}`, 'Vars');
    await stage.link('Secrets').click();
    await stage.heading('Secrets').waitFor();
    const { trail, value } = planted(stage);
    const dialog = await stage.press('Add secret', 'Add a secret', stage.page.getByRole('main'));
    await stage.field('Key', dialog).fill('CANARY');
    await stage.field('Value', dialog).fill(value);
    await leave(stage, dialog);
    await stage.gone(dialog);
    await stage.heading().waitFor();
    await trail.assertClean();
    if (how === 'left by the way back') await stage.page.goForward();
    await stage.heading('Secrets').waitFor();
    await trail.assertClean();
    const again = await stage.press('Add secret', 'Add a secret', stage.page.getByRole('main'));
    assert.equal(await stage.field('Value', again).inputValue(), '');
    assert.equal(await stage.field('Key', again).inputValue(), '');
    await trail.assertClean();
  });
}

check('typed, then another page and back: the page cache', async (stage) => {
  const environment = await stage.environment();
  const { trail, value } = planted(stage);
  await stage.open(`/secrets/${environment}`, 'Secrets');
  const dialog = await stage.press('Add secret', 'Add a secret', stage.page.getByRole('main'));
  await stage.field('Key', dialog).fill('CANARY');
  await stage.field('Value', dialog).fill(value);
  await stage.page.goto('/health');
  await stage.page.goBack();
  await stage.heading('Secrets').waitFor();
  await trail.assertClean();
});

check('typed, then logged out in another tab', { as: null, allow: [401] }, async (stage) => {
  const environment = await stage.environment();
  const user = await stage.coffer.user('typist', 'operator');
  await stage.become(user, true);
  const carrier = /^POST \/api\/environments\/[\w-]+\/secrets$/;
  const { trail, value } = planted(stage, carrier);
  await stage.open(`/secrets/${environment}`, 'Secrets');
  const dialog = await stage.press('Add secret', 'Add a secret', stage.page.getByRole('main'));
  await stage.field('Key', dialog).fill('CANARY');
  await stage.field('Value', dialog).fill(value);
  await stage.api.delete(`/api/users/${user.id}/sessions`);
  await stage.button('Add secret', dialog).click();
  await stage.heading('Log in').waitFor();
  await trail.assertClean();
});

check('the trail finds what is there', async (stage) => {
  const environment = await stage.environment();
  const { trail, value, token } = planted(stage);
  await stage.open(`/secrets/${environment}`, 'Secrets');
  await trail.assertClean();
  const places = {
    'the document': (text) => { document.body.dataset.planted = text; },
    storage: (text) => { localStorage.planted = btoa(unescape(encodeURIComponent(text))); },
    'the address': (text) => { history.replaceState(null, '', `#${encodeURIComponent(text)}`); },
    history: (text) => { history.replaceState({ text }, ''); },
    'the console': (text) => { console.log(text); },
  };
  for (const [place, plant] of Object.entries(places)) {
    await stage.page.evaluate(plant, value);
    const found = await trail.findings();
    assert.ok(found.some((one) => one.startsWith(`${place} holds`)), `${place}: ${found}`);
  }
  assert.ok(token);
});
