// What the server says about itself.

import assert from 'node:assert/strict';
import { eventually, suite } from './harness.mjs';

const check = suite();

check('health, figures, charts', async (stage) => {
  await stage.open('/status', 'Status');
  const main = stage.page.getByRole('main');
  for (const name of ['Health', 'Version', 'Running since', 'Wrapping key', 'Last backup', 'Free disk']) {
    await main.getByText(name, { exact: true }).first().waitFor();
  }
  const { version } = await stage.api.get('/health');
  await main.getByText(version).first().waitFor();
  for (const name of ['Requests a minute', 'Latency']) await main.getByText(name).first().waitFor();
  await main.getByText('Figures', { exact: true }).first().click();
  await main.getByRole('table').first().waitFor();
  assert.ok(!/undefined|NaN|null|\[object/.test(await main.innerText()), await main.innerText());
});

check('the doctor', async (stage) => {
  await stage.open('/status', 'Status');
  const doctor = stage.page.getByRole('region', { name: 'Doctor' });
  await stage.button('Run the doctor', doctor).click();
  await eventually('it says what it found', async () =>
    /nothing found|good|warning|broken/i.test(await doctor.innerText()));
});

check('a server that goes away, and comes back', { allow: ['network', 503] }, async (stage) => {
  await stage.open('/status', 'Status');
  await stage.context.route(/\/(health|metrics|api\/)/, (route) => route.abort('connectionrefused'));
  await stage.page.evaluate(() => scrollTo(0, 0));
  await stage.button('Run the doctor').click();
  await stage.alert(/server|reach|connect/i);
  await stage.context.unroute(/\/(health|metrics|api\/)/);
});
