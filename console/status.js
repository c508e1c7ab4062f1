// How the server is, for its operator.

import { get } from './api.js';
import { bytes, count, plural, span, stamp } from './format.js';
import { ago, alertBox, badge, busy, button, code, emptyState, facts, h, table } from './ui.js';

const SVG = 'http://www.w3.org/2000/svg';
const DAY = 86400;
const EVERY = 10_000;

function shape(tag, attributes) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

/** A small chart of an hour: bars, or lines of several series. */
function chart(title, series, { bars, unit }) {
  const [width, height] = [600, 120];
  const most = Math.max(...series.flatMap((one) => one.values.map((value) => value ?? 0)));
  const top = most || 1;
  const svg = shape('svg', { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: 'none', role: 'img', 'aria-label': `${title}, the last hour, at most ${unit(most)}` });
  const y = (value) => height - (value / top) * (height - 4);
  for (const { values, name } of series) {
    const step = width / values.length;
    if (bars) {
      values.forEach((value, at) => value && svg.append(shape('rect', { class: name, x: at * step + 1, width: step - 2, y: y(value), height: height - y(value) })));
    } else {
      const points = values.map((value, at) => (value === null ? null : `${(at + 0.5) * step},${y(value)}`)).filter(Boolean);
      svg.append(shape('polyline', { class: name, points: points.join(' '), fill: 'none' }));
      if (points.length === 1) svg.append(shape('circle', { class: name, cx: points[0].split(',')[0], cy: points[0].split(',')[1], r: 3 }));
    }
  }
  return h('figure', null, h('figcaption', null, h('strong', null, title), h('span', { class: 'muted' }, ` at most ${unit(most)}`),
    series.length > 1 && h('span', { class: 'legend' }, series.map((one) => h('span', { class: one.name }, one.label)))), svg,
  h('p', { class: 'axis muted', 'aria-hidden': 'true' }, h('span', null, 'an hour ago'), h('span', null, 'now')));
}

const ms = (number) => (number === null ? '–' : `${number < 10 ? number.toFixed(2) : Math.round(number)} ms`);

function charts({ requests }) {
  const pick = (name) => requests.map((minute) => minute[name]);
  const good = requests.map((minute) => minute.total - minute.serverErrors - minute.clientErrors);
  const stack = [
    { name: 'all', label: 'all', values: pick('total') },
    { name: 'refused', label: 'refused', values: requests.map((minute, at) => minute.total - good[at]) },
    { name: 'failed', label: 'failed', values: pick('serverErrors') },
  ];
  const lines = [
    { name: 'p99', label: '99 %', values: pick('p99Ms') },
    { name: 'p50', label: 'median', values: pick('p50Ms') },
  ];
  const busyMinutes = requests.filter((minute) => minute.total).reverse();
  return [
    h('div', { class: 'charts' }, chart('Requests a minute', stack, { bars: true, unit: count }), chart('Latency', lines, { unit: ms })),
    h('details', null, h('summary', null, 'Figures'), table('Requests by minute', [
      ['Minute', (one) => stamp(one.minute).slice(11, 16)],
      ['Requests', (one) => count(one.total), 'number'],
      ['Refused', (one) => count(one.clientErrors), 'number'],
      ['Failed', (one) => count(one.serverErrors), 'number'],
      ['Median', (one) => ms(one.p50Ms), 'number'],
      ['95 %', (one) => ms(one.p95Ms), 'number'],
      ['99 %', (one) => ms(one.p99Ms), 'number'],
    ], busyMinutes)),
  ];
}

function summary(health, { status }, keys) {
  const { storage, backup } = status;
  const active = keys.keys.find((key) => key.state === 'active');
  const old = (time) => (Date.parse(status.now) - Date.parse(time)) / 1000;
  const low = storage.freeBytes < storage.floorBytes * 4;
  return facts([
    ['Health', health.status === 'ok' ? badge('good', 'Works') : badge('bad', 'Nothing can be written')],
    ['Version', status.version],
    ['Running since', [ago(status.startedAt), h('span', { class: 'why' }, ` ${stamp(status.startedAt)}`)]],
    ['Wrapping key', active && [`number ${active.id}, `, span(old(active.createdAt)), ' old', keys.rotation && !keys.rotation.finishedAt && badge('wait', `rotating, ${plural(keys.rotation.left, 'key')} left`)]],
    ['Root key', code(keys.rootKey.fingerprint)],
    ['Last backup', backup.lastAt ? [old(backup.lastAt) > 7 * DAY ? badge('warn', 'Old') : badge('good', 'Made'), ' ', ago(backup.lastAt), h('span', { class: 'why' }, ` ${bytes(backup.lastBytes)}`)] : badge('warn', backup.scheduled ? 'None yet' : 'None, and none is scheduled')],
    backup.lastDownloadAt && ['Last download', ago(backup.lastDownloadAt)],
    ['Database', bytes(storage.fileBytes)],
    ['Free disk', [low ? badge('warn', 'Low') : '', ` ${bytes(storage.freeBytes)}`]],
  ]);
}

const SEVERITIES = { ok: ['good', 'Good'], warn: ['warn', 'Warning'], error: ['bad', 'Broken'] };

export async function open() {
  const [top, graphs, found, notes] = [h('div'), h('div'), h('div', { role: 'status' }), alertBox()];
  let timer;
  async function load() {
    const [health, status, keys] = await Promise.all([get('/health').catch((error) => ({ status: error.status })), get('/api/admin/status'), get('/api/admin/keys')]);
    top.replaceChildren(summary(health, status, keys));
    const wasOpen = graphs.querySelector('details')?.open;
    graphs.replaceChildren(...charts(status.status));
    if (wasOpen) graphs.querySelector('details').open = true;
  }
  const again = () => {
    timer = setTimeout(async () => {
      if (document.visibilityState === 'visible') await load().then(notes.clear, notes.show);
      again();
    }, EVERY);
  };
  const doctor = button('Run the doctor', () => busy(doctor, async () => {
    found.replaceChildren(h('p', { class: 'muted' }, 'Opening every record…'));
    try {
      const { findings } = await get('/api/admin/doctor');
      found.replaceChildren(table('Findings', [
        ['Severity', (one) => badge(...SEVERITIES[one.severity])],
        ['Found', (one) => [one.what, one.remedy && h('div', { class: 'why' }, one.remedy)]],
      ], findings, emptyState('Nothing found', 'Every record opens and everything fits.')));
    } catch (error) {
      found.replaceChildren();
      notes.show(error);
    }
  }));
  await load();
  again();
  return {
    title: 'Status',
    element: h('div', null, notes.box, top, graphs, h('section', { 'aria-labelledby': 'doc' }, h('h2', { id: 'doc' }, 'Doctor'),
      h('p', null, 'Opens every record and looks whether everything fits. On the host, ', code('coffer doctor'), ' looks at files and clock as well.'), doctor, found)),
    stop: () => clearTimeout(timer),
  };
}
