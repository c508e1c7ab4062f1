// What secrets and vars have in common as pages: a filtered table, the import, and
// a dialog for the one that the URL names.

import { at, can, environment, get } from './api.js';
import { count } from './format.js';
import { importDialog } from './entry.js';
import { filterBox, windowed } from './table.js';
import { button, dialog, emptyState, h, link, toast } from './ui.js';
import { navigate } from './app.js';

/**
 * `kind` is `secrets` or `vars`; `detail(row, context, redraw)` is what its dialog holds,
 * `add(context)` opens the dialog that makes one.
 */
export async function openList({ kind, title, columns, detail, add, empty, sealed }, [name, key]) {
  const one = kind.slice(0, -1);
  const env = environment(name);
  let rows = (await get(at`/api/environments/${env.id}/${kind}`))[kind];
  const base = `/${kind}/${env.name}`;
  const mayWrite = can('secrets:write');
  const grid = windowed({ label: title, columns: columns(base), id: (row) => row.id, size: kind });
  const tally = h('p', { id: 'count', role: 'status' });
  const place = h('div');
  let shown = null;

  const context = {
    env,
    kind,
    one,
    /** What the API has answered takes the place of what was here. */
    put(row) {
      rows = [...rows.filter((other) => other.id !== row.id), row];
      draw();
      shown?.redraw(row);
    },
    drop(row) {
      rows = rows.filter((other) => other.id !== row.id);
      draw();
      navigate(base);
    },
    async reload() {
      rows = (await get(at`/api/environments/${env.id}/${kind}`))[kind];
      draw();
    },
    openImport: (text) => importDialog(env.id, kind, { text, sealed: sealed && (context.settings?.neverRevealByDefault ?? false), done: context.reload }),
  };
  const openAdd = mayWrite ? () => add(context) : undefined;
  const filter = filterBox(`Filter ${kind}`, grid, (row) => `${row.key} ${row.description ?? ''} ${row.neverReveal === undefined ? row.value : row.neverReveal ? 'write-only' : 'revealable'}`, tell);
  const buttons = () => [
    button(`Add ${one}`, openAdd, { class: 'primary', 'aria-keyshortcuts': 'n' }),
    button('Import .env', () => context.openImport('')),
  ];

  function tell() {
    tally.replaceChildren(`${count(grid.count)} of ${count(rows.length)} ${rows.length === 1 ? one : kind}`);
    none.hidden = grid.count > 0 || !rows.length;
  }
  const none = h('p', { class: 'muted', hidden: true }, `No ${one} matches. Esc empties the filter.`);

  function draw() {
    grid.set(rows);
    if (!rows.length) {
      place.replaceChildren(emptyState(`No ${kind} in ${env.name} yet`, mayWrite ? empty : 'Your role may read here and not write.', ...(mayWrite ? buttons() : [])));
    } else if (!grid.element.isConnected) place.replaceChildren(grid.element, none);
    tools.hidden = !rows.length;
    tell();
  }

  function openDetail(wanted) {
    const row = rows.find((other) => other.key === wanted);
    if (!row) {
      toast(`There is no ${one} ${wanted} here.`);
      navigate(base, { replace: true });
      return;
    }
    let stop = () => {};
    let latest = row;
    const body = h('div');
    const opened = dialog(row.key, () => body, {
      label: true,
      wide: true,
      onclose() {
        stop();
        if (shown === mine) shown = null;
        if (decodeURIComponent(location.pathname) === `${base}/${row.key}`) navigate(base);
        grid.focus(row.id);
      },
    });
    const mine = {
      key: row.key,
      close: opened.close,
      redraw(next) {
        if (next.id !== latest.id) return;
        latest = next;
        stop();
        const made = detail(next, context);
        stop = made.stop ?? (() => {});
        body.replaceChildren(...made.nodes);
      },
    };
    shown = mine;
    mine.redraw(row);
  }

  function update([where, wanted]) {
    if (environment(where)?.id !== env.id) return false;
    if (shown && shown.key !== wanted) {
      // Those that stand on top of it go first.
      for (const open of [...document.querySelectorAll('dialog[open]')].reverse()) open.close();
    }
    document.title = `${wanted ? `${wanted} · ` : ''}${title} · ${env.name} · coffer`;
    if (wanted && !shown) openDetail(wanted);
    return true;
  }

  const tools = h('div', { class: 'tools' }, filter, tally, mayWrite && h('div', { class: 'buttons' }, buttons()));
  draw();
  const seen = () => document.visibilityState === 'visible' && !document.querySelector('dialog[open]') && context.reload().catch(() => {});
  document.addEventListener('visibilitychange', seen);
  return {
    title,
    element: h('div', null, tools, place),
    filter,
    add: openAdd,
    update,
    shown() {
      grid.set(rows);
      if (key) update([name, key]);
    },
    stop() {
      grid.stop();
      document.removeEventListener('visibilitychange', seen);
    },
  };
}

/** The link that a row is opened by. */
export const keyCell = (base) => (row) => link(`${base}/${row.key}`, row.key, { class: 'mono' });

export const useCell = ({ usageCount, usedByServices }) =>
  usageCount ? h('span', { title: usedByServices.join('\n') }, `by ${count(usageCount)}`) : h('span', { class: 'muted' }, 'not used');

/** Where something is used, for whoever is about to change or delete it. */
export function usedBy({ usedByServices, usedByConfigFiles }) {
  const all = [...usedByServices, ...usedByConfigFiles.filter((one) => !usedByServices.includes(one)).map((one) => `${one} (template)`)];
  return all.length ? h('ul', { class: 'inline' }, all.map((one) => h('li', null, h('code', null, one)))) : 'Nothing that the host declares';
}
