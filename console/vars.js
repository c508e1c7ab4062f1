// Vars: configuration that is no secret, so its values are shown.

import { api, at, can } from './api.js';
import { offerImport } from './entry.js';
import { about, openList } from './list.js';
import { keyInput, remove } from './secrets.js';
import { actions, button, copyButton, field, formDialog, h, prose } from './ui.js';

function edit(row, context) {
	const [key, text] = [keyInput(), prose('description', row?.description)];
	const value = h('textarea', { name: 'value', rows: 2, class: 'mono', autocomplete: 'off', spellcheck: 'false', value: row?.value });
	const offer = !row && offerImport([key, value], (lines) => {
		made.close();
		context.openImport(lines);
	});
	const hint = 'Capital letters, digits and _, such as LOG_LEVEL.';
	const made = formDialog(row ? `Edit ${row.key}` : 'Add a var', [!row && [field('Key', key, { hint }), offer], field('Value', value), field('Description (optional)', text)], {
		label: row ? 'Save var' : 'Add var',
		async submit() {
			// The same value again would be a new version.
			const body = { value: row?.value === value.value ? undefined : value.value, description: text.value || null };
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
		h('pre.value.mono', { tabindex: '0', role: 'region', 'aria-label': 'Value' }, row.value),
		actions(
			can('secrets:write') && button('Edit var', () => edit(row, context), { class: 'primary' }),
			copyButton('Copy value', () => row.value),
			can('secrets:write') && button('Delete var', () => remove(row, context), { class: 'danger' }),
		),
		about(row),
	],
});

export const open = (rest) =>
	openList({
		kind: 'vars',
		title: 'Vars',
		columns: [
			{ title: 'Value', cell: (row) => h('code', null, row.value), sort: (row) => row.value, class: 'val' },
			{ title: 'Description', cell: (row) => row.description, class: 'about' },
		],
		words: (row) => row.value,
		detail,
		add: (context) => edit(null, context),
		empty: 'Vars are for what is no secret, such as LOG_LEVEL: anybody who may read here sees their values.',
	}, rest);
