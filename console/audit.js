// The audit log: filtered by the URL, followed live, verified.

import { get, isAdmin, session } from './api.js';
import { plural, stamp } from './format.js';
import { alertBox, badge, busy, button, code, dialog, emptyState, facts, field, h, input, select, table } from './ui.js';

const PAGE = 50;
const MOST_SHOWN = 500;
const EVERY = 2000;
const FILTERS = ['environmentId', 'resourceType', 'action', 'success', 'from', 'to'];
let actions = null;

/** The words for actions, from the description that the server publishes. */
async function loadActions() {
  const document = await get('/openapi.json');
  return (actions ??= document.components.schemas.AuditRow.properties.action.enum ?? []);
}

const result = (row) => (row.success ? badge('good', 'Done') : badge('bad', row.error));
const on = (row) => [row.resourceName ?? row.resourceId ?? '', row.environmentName && h('span', { class: 'muted' }, ` ${row.environmentName}`)];

function details(row) {
  const parsed = row.details && Object.entries(JSON.parse(row.details)).map(([name, what]) => [name, code(typeof what === 'string' ? what : JSON.stringify(what))]);
  dialog(`Row ${row.seq}`, () => facts([
    ['Time', `${stamp(row.createdAt)} (${row.createdAt})`],
    ['Who', row.actorName],
    ['Action', code(row.action)],
    ['On', [row.resourceType, ' ', row.resourceName && code(row.resourceName), row.resourceId && h('div', { class: 'why' }, row.resourceId)]],
    row.environmentName && ['Environment', row.environmentName],
    ['Result', result(row)],
    row.ip && ['From', code(row.ip)],
    row.requestId && ['Request', code(row.requestId)],
    row.apiTokenId && ['Token', code(row.apiTokenId)],
    ...(parsed || []),
  ]), { wide: true });
}

export async function open() {
  const words = await loadActions();
  const types = [...new Set(words.map((word) => word.split('.')[0]))];
  const all = (options) => [['', 'All'], ...options];
  const given = new URLSearchParams(location.search);
  const local = (time) => (time ? stamp(time).replace(' ', 'T').slice(0, 16) : '');
  const controls = {
    environmentId: select('environmentId', all(session.environments.map((one) => [one.id, one.name])), given.get('environmentId') ?? ''),
    resourceType: select('resourceType', all(types.map((one) => [one, one])), given.get('resourceType') ?? ''),
    action: select('action', all(words.map((one) => [one, one])), given.get('action') ?? ''),
    success: select('success', all([['true', 'Done'], ['false', 'Refused or failed']]), given.get('success') ?? ''),
    from: input('from', { type: 'datetime-local', value: local(given.get('from')) }),
    to: input('to', { type: 'datetime-local', value: local(given.get('to')) }),
  };
  const labels = ['Environment', 'Type', 'Action', 'Result', 'From', 'To'];
  const filters = h('form', { class: 'filters', onsubmit: (event) => event.preventDefault() }, FILTERS.map((name, number) => field(labels[number], controls[name])));
  const [place, notes, tally, chain] = [h('div'), alertBox(), h('p', { role: 'status', class: 'muted' }), h('p', { role: 'status', class: 'chain' })];
  let rows = [];
  let total = 0;
  let turn = 0;
  let timer;

  function query(more) {
    const asked = new URLSearchParams();
    for (const name of FILTERS) {
      const { value, type } = controls[name];
      if (value) asked.set(name, type === 'datetime-local' ? new Date(value).toISOString() : value);
    }
    const url = String(asked);
    history.replaceState(null, '', `/audit${url && `?${url}`}`);
    for (const [name, what] of Object.entries(more)) asked.set(name, what);
    return `/api/audit-logs?${asked}`;
  }
  async function ask(more, take) {
    const mine = (turn += 1);
    try {
      const answer = await get(query({ limit: PAGE, ...more }));
      if (mine !== turn) return;
      notes.clear();
      take(answer);
      draw();
    } catch (error) {
      if (mine === turn) notes.show(error);
    }
  }
  const load = () => ask({}, (answer) => ({ logs: rows, total } = answer));
  const older = button('Load older rows', () => busy(older, () => ask({ beforeSeq: rows.at(-1).seq }, ({ logs }) => rows.push(...logs))));
  function draw() {
    const time = (row) => button(h('time', { datetime: row.createdAt }, stamp(row.createdAt)), () => details(row), { class: 'text', 'aria-label': `${stamp(row.createdAt)}, row ${row.seq}` });
    place.replaceChildren(table('Audit log', [['Time', time], ['Who', (row) => row.actorName], ['Action', (row) => code(row.action)], ['On', on], ['Result', result]], rows,
      emptyState('No rows match', 'Take a filter away to see more.')));
    older.hidden = rows.length >= total || !rows.length;
    tally.replaceChildren(`${plural(rows.length, 'row')} of ${plural(total, 'row')}`);
  }
  const follow = button('Follow live', () => {
    const on = follow.getAttribute('aria-pressed') !== 'true';
    follow.setAttribute('aria-pressed', on);
    clearTimeout(timer);
    if (on) watch();
  }, { 'aria-pressed': 'false' });
  async function watch() {
    if (document.visibilityState === 'visible' && !document.querySelector('dialog[open]')) {
      await ask({ afterSeq: rows[0]?.seq ?? 0, limit: MOST_SHOWN }, ({ logs }) => {
        total += logs.length;
        rows = [...logs, ...rows].slice(0, MOST_SHOWN);
      });
    }
    timer = setTimeout(watch, EVERY);
  }
  const verify = isAdmin() && button('Verify chain', () => busy(verify, async () => {
    chain.replaceChildren('Walking the log…');
    try {
      const { verification: found } = await get('/api/audit-logs/verification');
      chain.replaceChildren(found.intact
        ? badge('good', `The chain holds: ${plural(found.rows, 'row')} from number ${found.firstSeq} on, none changed, none missing.`)
        : badge('bad', `The chain is broken at row ${found.brokenSeq}: ${found.problem}. Run coffer doctor on the host.`));
    } catch (error) {
      chain.replaceChildren();
      notes.show(error);
    }
  }));
  filters.addEventListener('change', load);
  await load();
  return {
    title: 'Audit log',
    actions: h('div', { class: 'buttons' }, follow, verify),
    element: h('div', null, chain, filters, notes.box, tally, place, h('div', { class: 'actions' }, older)),
    filter: controls.environmentId,
    stop: () => clearTimeout(timer),
  };
}
