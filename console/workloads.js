// Who gets values without anybody seeing them, and what came of it. Only reads:
// both are declared on the host.

import { at, environment, get } from './api.js';
import { ago, badge, code, emptyState, h, table } from './ui.js';

const OUTCOMES = {
  written: ['good', 'Written'],
  unchanged: ['good', 'Up to date'],
  missing: ['bad', 'Keys are missing'],
  failed: ['bad', 'Failed'],
  pending: ['wait', 'Not yet'],
};
const codes = (texts) => h('span', { class: 'codes' }, texts.map((one) => code(one)));
const keys = (one) => (one.keys.length === 1 && one.keys[0] === '*' ? 'All' : codes(one.keys));

function outcome(one) {
  const why = one.problem ?? (one.missingKeys.length ? ['No value for ', codes(one.missingKeys)] : null);
  return [badge(...OUTCOMES[one.outcome]), why && h('div', { class: 'why' }, why)];
}

const command = ({ commandStatus }) =>
  commandStatus === null ? h('span', { class: 'muted' }, 'none run') : commandStatus === '0' ? badge('good', 'Done') : badge('bad', /^\d+$/.test(commandStatus) ? `Exit ${commandStatus}` : commandStatus);

export async function open([name]) {
  const env = environment(name);
  const path = (what) => at`/api/environments/${env.id}/` + what;
  const [{ workloads }, { deliveries }, { logs }] = await Promise.all([
    get(path('workloads')),
    get(path('deliveries')),
    get(at`/api/audit-logs?environmentId=${env.id}&action=workload.deliver&limit=1000`),
  ]);
  const last = (one) => logs.find((row) => row.resourceName === one.name && row.success);
  const by = (row) => row && h('div', { class: 'why' }, `to ${row.actorName}`);
  return {
    title: 'Workloads',
    element: h('div', null,
      h('p', { class: 'about-page' }, 'Programs and files that get values, write-only ones included. They are declared in ', code('config.toml'), ' on the host, and nowhere else, so that nobody who only has an account can enrol one.'),
      h('section', { 'aria-labelledby': 'w' }, h('h2', { id: 'w' }, 'Workloads'),
        table('Workloads', [
          ['Name', (one) => code(one.name)],
          ['Keys', keys],
          ['Recipients', (one) => h('ul', { class: 'keys-list' }, one.recipients.map((key) => h('li', null, h('code', { title: key }, key.length > 28 ? `${key.slice(0, 16)}…${key.slice(-8)}` : key))))],
          ['Last delivery', (one) => [ago(last(one)?.createdAt), by(last(one))]],
        ], workloads, emptyState(`No workloads for ${env.name}`, 'Declare a [[workload]] in config.toml with the key that its bundles are sealed to, and send the server SIGHUP. docs/workloads.md shows how.'))),
      h('section', { 'aria-labelledby': 'd' }, h('h2', { id: 'd' }, 'Deliveries'),
        table('Deliveries', [
          ['Path', (one) => [code(one.path), h('div', { class: 'why' }, one.template ? `from ${one.template}` : one.format, `, ${one.mode}`)]],
          ['Outcome', outcome],
          ['When', (one) => ago(one.at)],
          ['Keys', (one) => (Object.keys(one.versions).length ? codes(Object.entries(one.versions).map(([key, version]) => `${key} v${version}`)) : keys(one))],
          ['Command', command],
        ], deliveries, emptyState(`No files for ${env.name}`, 'Declare a [[deliver]] in config.toml, and the server keeps the file up to date.')))),
  };
}
