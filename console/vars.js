// Vars: configuration that is no secret, so its values are shown.

import { api, at, can } from './api.js';
import { offerImport } from './entry.js';
import { keyCell, openList, useCell, usedBy } from './list.js';
import { describing, remove } from './secrets.js';
import { ago, button, copyButton, facts, field, formDialog, h, input } from './ui.js';

const columns = (base) => [
  { title: 'Key', cell: keyCell(base), sort: (row) => row.key, class: 'key' },
  { title: 'Value', cell: (row) => row.value, sort: (row) => row.value, class: 'mono val' },
  { title: 'Description', cell: (row) => row.description ?? '', class: 'about' },
  { title: 'Version', cell: (row) => `v${row.version}`, sort: (row) => row.version, class: 'version' },
  { title: 'Age', cell: (row) => ago(row.updatedAt), sort: (row) => -Date.parse(row.updatedAt), class: 'age' },
  { title: 'Use', cell: useCell, sort: (row) => row.usageCount, class: 'use' },
];

function edit(context, row) {
  const key = input('key', { class: 'mono', maxlength: 256 });
  const value = h('textarea', { name: 'value', rows: 2, class: 'mono', autocomplete: 'off', spellcheck: 'false', value: row?.value ?? '' });
  const text = describing(row);
  const offer = !row && offerImport([key, value], (lines) => {
    made.close();
    context.openImport(lines);
  });
  const fields = [!row && field('Key', key, { hint: 'Capital letters, digits and _, such as LOG_LEVEL.' }), field('Value', value), offer, field('Description (optional)', text)];
  const made = formDialog(row ? `Edit ${row.key}` : 'Add a var', fields, {
    label: row ? 'Save var' : 'Add var',
    async submit() {
      const body = { value: value.value, description: text.value || null };
      // The same value again would be a new version.
      if (row?.value === body.value) delete body.value;
      const answer = row
        ? await api('PATCH', at`/api/vars/${row.id}?version=${row.version}`, body)
        : await api('POST', at`/api/environments/${context.env.id}/vars`, { key: key.value.trim(), ...body });
      context.put(answer.var);
      return `${answer.var.key} is stored.`;
    },
  });
}

const detail = (row, context) => ({
  nodes: [
    row.description && h('p', { class: 'lead' }, row.description),
    h('pre', { class: 'value mono', tabindex: '0', 'aria-label': 'Value' }, row.value),
    h('div', { class: 'actions' },
      can('secrets:write') && button('Edit var', () => edit(context, row), { class: 'primary' }),
      copyButton('Copy value', () => row.value),
      can('secrets:write') && button('Delete var', () => remove(row, context), { class: 'danger' })),
    facts([['Version', row.version], ['Changed', ago(row.updatedAt)], ['Created', ago(row.createdAt)], ['Used by', usedBy(row)]]),
  ].filter(Boolean),
});

export const open = (rest) =>
  openList({ kind: 'vars', title: 'Vars', columns, detail, add: (context) => edit(context), empty: 'Vars are for what is no secret, such as LOG_LEVEL: anybody who may read here sees their values.' }, rest);
