// The page for variables: configuration that is not secret, so values are visible.

import { at, can } from './api.js';
import { offerImport } from './entry.js';
import { about, openList } from './list.js';
import { keyInput, remove } from './secrets.js';
import { actions, button, copyButton, field, formDialog, h, prose } from './ui.js';

function edit(row, context) {
	const [key, text] = [keyInput(), prose('description', row?.description)];
	const value = h('textarea', {
		name: 'value',
		rows: 2,
		class: 'mono',
		autocomplete: 'off',
		spellcheck: 'false',
		value: row?.value,
	});
	// Compare with what the text area made of it: it normalizes line endings, and saving the same
	// value again would create a version.
	const was = row && value.value;
	const offer =
		!row &&
		offerImport([key, value], (lines) => {
			made.close();
			context.openImport(lines);
		});
	const hint = 'For example LOG_LEVEL.';
	const made = formDialog(
		row ? `Edit ${row.key}` : 'Add a variable',
		[!row && [field('Key', key, hint), offer], field('Value', value), field('Description (optional)', text)],
		row ? 'Save variable' : 'Add variable',
		async () => {
			const body = { value: was === value.value ? undefined : value.value, description: text.value || null };
			const answer = row
				? await context.change('PATCH', at`/api/vars/${row.id}?version=${row.version}`, body)
				: await context.change('POST', at`/api/environments/${context.env.id}/vars`, {
						key: key.value.trim(),
						...body,
					});
			return `Saved ${answer.key}.`;
		},
	);
}

const detail = (row, context) => ({
	nodes: [
		h('pre.box', { tabindex: '0', role: 'region', 'aria-label': 'Value' }, row.value),
		actions(
			can('secrets:write') && button('Edit variable', () => edit(row, context), { class: 'primary' }),
			copyButton('Copy value', () => row.value),
			can('secrets:write') && button('Delete variable', () => remove(row, context), { class: 'danger' }),
		),
		about(row),
	],
});

export const open = (rest) =>
	openList(
		{
			kind: 'vars',
			title: 'Variables',
			columns: [
				{ title: 'Value', cell: (row) => h('code', null, row.value), sort: (row) => row.value },
				{ title: 'Description', cell: (row) => row.description },
			],
			words: (row) => row.value,
			detail,
			add: (context) => edit(null, context),
			empty: 'Values that are not secret, such as LOG_LEVEL. Everyone with read access can view them.',
		},
		rest,
	);
