// A .env file: pasted or chosen, looked through by a dry run, and imported.

import assert from 'node:assert/strict';
import { eventually, suite } from './harness.mjs';

const check = suite();
const DIALOG = 'Import a .env file';

async function importing(stage, environment, view = 'secrets', heading = 'Secrets') {
  await stage.open(`/${view}/${environment}`, heading);
  const dialog = await stage.press('Import .env', DIALOG, stage.page.getByRole('main'));
  return { dialog, lines: stage.field('Lines of a .env file', dialog) };
}

check('pasted, looked at, and imported', async (stage) => {
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
  assert.ok(!/Kq/.test(await preview.innerText()), 'no values');
  assert.equal(await stage.api.secret(environment, 'NEW_ONE'), undefined, 'a dry run');
  await stage.select('When a key exists', dialog).selectOption({ label: 'Replace its value' });
  await stage.button('Import 3 secrets', dialog).click();
  await stage.button('Done', dialog).waitFor();
  for (const key of ['NEW_ONE', 'NEW_TWO', 'THERE']) await stage.row(key, dialog).waitFor();
  await stage.button('Done', dialog).click();
  await stage.gone(dialog);
  for (const [key, value] of [['NEW_ONE', 'Kq 1'], ['NEW_TWO', 'Kq #2'], ['THERE', 'Kq3']]) {
    await stage.link(key).waitFor();
    const { id } = await stage.api.secret(environment, key);
    assert.equal(await stage.api.value(id), value);
  }
});

check('what is there is skipped', async (stage) => {
  const environment = await stage.environment();
  await stage.api.addSecret(environment, 'THERE', 'old');
  const { dialog, lines } = await importing(stage, environment);
  await stage.select('When a key exists', dialog).selectOption({ label: 'Skip it' });
  await lines.fill('THERE=new\nFRESH=1');
  await eventually('the preview says so', async () =>
    /skip|left|stays/i.test(await stage.row('THERE', dialog.getByRole('table')).innerText()));
  await dialog.getByRole('button', { name: /^Import \d+ secrets?$/ }).click();
  await stage.button('Done', dialog).click();
  const { id, version } = await stage.api.secret(environment, 'THERE');
  assert.equal(version, 1);
  assert.equal(await stage.api.value(id), 'old');
  assert.ok(await stage.api.secret(environment, 'FRESH'));
});

check('import nothing, when a key exists', { allow: [409] }, async (stage) => {
  const environment = await stage.environment();
  await stage.api.addSecret(environment, 'THERE', 'old');
  const { dialog, lines } = await importing(stage, environment);
  await stage.select('When a key exists', dialog).selectOption({ label: 'Import nothing' });
  await lines.fill('THERE=new\nFRESH=1');
  await eventually('the preview says so', async () =>
    /conflict|exists|there/i.test(await stage.row('THERE', dialog.getByRole('table')).innerText()));
  const submit = dialog.getByRole('button', { name: /^Import \d+ secrets?$/ });
  if (await submit.isEnabled()) {
    await submit.click();
    await eventually('it is told', async () => /exists|conflict/i.test(await dialog.innerText()));
  }
  assert.equal(await stage.api.secret(environment, 'FRESH'), undefined);
});

check('write-only, from a file', async (stage) => {
  const environment = await stage.environment();
  const { dialog } = await importing(stage, environment);
  await stage.checkbox('Write-only', dialog).check();
  await dialog.getByLabel('Choose a file').setInputFiles({
    name: '.env', mimeType: 'text/plain', buffer: Buffer.from('FROM_FILE=é\r\nSECOND=2\r\n'),
  });
  await stage.row('FROM_FILE', dialog.getByRole('table')).waitFor();
  await stage.button('Import 2 secrets', dialog).click();
  await stage.button('Done', dialog).click();
  for (const key of ['FROM_FILE', 'SECOND']) {
    assert.equal((await stage.api.secret(environment, key)).neverReveal, true);
  }
});

check('a line that cannot be read is named, by its number', { allow: [400] }, async (stage) => {
  const environment = await stage.environment();
  const { dialog, lines } = await importing(stage, environment);
  for (const [number, text] of [
    [2, 'GOOD=1\nthis is no line\nOTHER=2'], [3, 'GOOD=1\nOTHER=2\nlower-case=3\n'],
    [1, 'OPEN="never closed\n'], [4, '# a comment\n\nGOOD=1\nHASH=a#never closed\n'],
  ]) {
    await lines.fill(text);
    await eventually(`line ${number} is named`, async () =>
      new RegExp(`line ${number}\\b`, 'i').test(await dialog.innerText()));
    const told = await dialog.innerText();
    assert.ok(!/this is no line|lower-case|never closed/.test(told), 'by number, not by what is in it');
  }
  assert.deepEqual(await stage.api.secrets(environment), []);
  await lines.fill('GOOD=1\n');
  await stage.row('GOOD', dialog.getByRole('table')).waitFor();
  assert.ok(!/line \d/i.test(await dialog.innerText()), 'mended, and the complaint is gone');
});

check('a key that stands there twice', { allow: [400] }, async (stage) => {
  const environment = await stage.environment();
  const { dialog, lines } = await importing(stage, environment);
  await lines.fill('TWICE=1\nONCE=2\nTWICE=3\n');
  // The field is masked, and no text: what says TWICE is the complaint.
  await eventually('it is told', async () => /TWICE|line 3/.test(await dialog.innerText()));
});

check('several lines, pasted where one value belongs', async (stage) => {
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
    await dialog.getByText('These look like 3 lines of a .env file.').waitFor();
    if (field === 'Key') {
      await stage.button('Cancel', dialog).click();
      await stage.gone(dialog);
      continue;
    }
    await stage.button('Import all 3', dialog).click();
    const all = stage.dialog(DIALOG);
    await stage.row('PASTED_THREE', all.getByRole('table')).waitFor();
    await stage.button('Import 3 secrets', all).click();
    await stage.button('Done', all).click();
    await stage.link('PASTED_TWO').waitFor();
  }
  assert.equal((await stage.api.secrets(environment)).length, 3);
});

check('one line, pasted where a key belongs, does not stand there in the clear', async (stage) => {
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
  await dialog.getByText('This looks like a line of a .env file.').waitFor();
  assert.equal(await stage.field('Key', dialog).inputValue(), '');
  await stage.button('Import all 1', dialog).click();
  const all = stage.dialog(DIALOG);
  await stage.row('PASTED', all.getByRole('table')).waitFor();
  await stage.button('Import 1 secret', all).click();
  await stage.button('Done', all).click();
  assert.equal(await stage.api.value((await stage.api.secret(environment, 'PASTED')).id), 'the value');
});

check('vars', async (stage) => {
  const environment = await stage.environment();
  const { dialog, lines } = await importing(stage, environment, 'vars', 'Vars');
  assert.equal(await stage.checkbox('Write-only', dialog).count(), 0);
  await lines.fill('PORT=8080\nHOST=localhost\n');
  await stage.row('PORT', dialog.getByRole('table')).waitFor();
  await stage.button('Import 2 vars', dialog).click();
  await stage.button('Done', dialog).click();
  await stage.link('PORT').waitFor();
  assert.equal((await stage.api.variable(environment, 'PORT')).value, '8080');
});
