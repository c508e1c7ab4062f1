// The status page: health, charts, the doctor.

import assert from 'node:assert/strict';
import { eventually, suite } from './harness.mjs';

const check = suite();

check('health, charts and the table', async (stage) => {
	await stage.open('/status', 'Status');
	const main = stage.page.getByRole('main');
	for (const name of ['Health', 'Version', 'Started', 'Wrapping key', 'Last backup', 'Free disk space']) {
		await main.getByText(name, { exact: true }).first().waitFor();
	}
	const { version } = await stage.api.get('/health');
	await main.getByText(version).first().waitFor();
	for (const name of ['Requests per minute', 'Latency']) await main.getByText(name).first().waitFor();
	await main.getByText('Show as table', { exact: true }).first().click();
	await main.getByRole('table').first().waitFor();
	assert.ok(!/undefined|NaN|null|\[object/.test(await main.innerText()), await main.innerText());
});

check('run the doctor', async (stage) => {
	await stage.open('/status', 'Status');
	const doctor = stage.page.getByRole('region', { name: 'Doctor' });
	await stage.button('Run doctor', doctor).click();
	await eventually('the findings are shown', async () =>
		/no problems|\bok\b|warning|error/i.test(await doctor.innerText()),
	);
});

check('the server becomes unreachable and comes back', { allow: ['network', 503] }, async (stage) => {
	await stage.open('/status', 'Status');
	await stage.context.route(/\/(health|metrics|api\/)/, (route) => route.abort('connectionrefused'));
	await stage.page.evaluate(() => scrollTo(0, 0));
	await stage.button('Run doctor').click();
	await stage.alert(/server|reach|connect/i);
	await stage.context.unroute(/\/(health|metrics|api\/)/);
});
