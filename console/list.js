// What the pages for secrets and variables share: the filtered table, the import, and the
// dialog for the item that the URL names.

import { api, at, can, environment, get } from './api.js';
import { importDialog } from './entry.js';
import { count } from './format.js';
import { byUrl, navigate, titled } from './router.js';
import { filterBox, windowed } from './table.js';
import { adding, ago, button, code, dialog, div, emptyState, facts, h, link, muted, say } from './ui.js';

// `kind` is `secrets` or `vars`; `detail(row, context)` returns the nodes of the dialog, and
// `stop`, which runs when they go.
export async function openList({ kind, title, columns, detail, add, empty, words, settings }, [name, key]) {
	const one = kind.slice(0, -1);
	const noun = NOUNS[kind];
	const nouns = `${noun}s`;
	const env = environment(name);
	const base = `/${kind}/${env.name}`;
	const load = async () => (await get(at`/api/environments/${env.id}/` + kind))[kind];
	let rows = await load();
	const mayWrite = can('secrets:write');
	const grid = windowed({
		label: title,
		columns: [keyColumn(base), ...columns, ...COLUMNS],
		id: (row) => row.id,
		kind,
	});
	const tally = h('p', { id: 'count', role: 'status' });
	const place = div();
	let shown;

	const context = {
		env,
		kind,
		one,
		noun,
		settings,
		// Shows what the API returns. A conflict may mean that the page is out of date.
		async change(method, path, body) {
			const { [one]: row } = await api(method, path, body).catch((error) => {
				if (error.status === 409) {
					error.hint =
						error.field === 'key'
							? 'Open it to replace its value.'
							: 'Check the current version and try again.';
					shown?.look();
				}
				throw error;
			});
			put(row);
			return row;
		},
		drop(row) {
			rows = rows.filter((other) => other.id !== row.id);
			draw();
			if (shown) navigate(base);
		},
		openImport: (text) =>
			importDialog(context, text, async () => {
				rows = await load();
				draw();
			}),
	};
	const put = (row) => {
		rows = [...rows.filter((other) => other.id !== row.id), row];
		draw();
		shown?.redraw(row);
	};
	const openAdd = mayWrite && (() => add(context));
	const buttons = () =>
		mayWrite && [adding(`Add ${noun}`, openAdd), button('Import .env', () => context.openImport(''))];
	const none = h('p.muted', { hidden: true }, `No matching ${nouns}. Press Esc to clear.`);
	const tell = () => {
		tally.textContent = `${count(grid.count())} of ${count(rows.length)} ${rows.length === 1 ? noun : nouns}`;
		none.hidden = grid.count() > 0;
	};
	const filter = filterBox(
		`Filter ${nouns}`,
		grid,
		(row) => `${row.key} ${row.description ?? ''} ${words(row)}`,
		tell,
	);
	const tools = h('div.tools', null, filter, tally, h('div.buttons', null, buttons()));

	function draw() {
		tools.hidden = !rows.length;
		if (!rows.length)
			place.replaceChildren(
				emptyState(
					`No ${nouns} in ${env.name} yet`,
					mayWrite ? empty : `Your role cannot add ${nouns}.`,
					buttons(),
				),
			);
		else if (!grid.element.isConnected) place.replaceChildren(grid.element, none);
		grid.set(rows);
		tell();
	}

	const follow = byUrl(
		base,
		(wanted) => rows.find((row) => row.key === wanted),
		(wanted) => `No ${noun} named ${wanted} in ${env.name}.`,
		(row, closed) => {
			let latest;
			let stop;
			const body = div();
			const redraw = (next) => {
				if (next.id !== row.id) return;
				stop?.();
				latest = next;
				const made = detail(next, context);
				stop = made.stop;
				const had = body.contains(document.activeElement);
				body.replaceChildren(...made.nodes.filter(Boolean));
				if (had) body.closest('dialog').querySelector('h2').focus();
			};
			// Someone else may have changed it since the list was loaded.
			const look = () =>
				get(at`/api/${kind}/${row.id}`).then(
					({ [one]: now }) => JSON.stringify(now) !== JSON.stringify(latest) && put(now),
					(error) => {
						if (error.status === 404) context.drop(row);
						say(error);
					},
				);
			redraw(row);
			dialog(row.key, () => body, {
				subject: true,
				onclose() {
					stop?.();
					if (shown === mine) shown = null;
					closed();
					grid.focus(row.id);
				},
			});
			const mine = { redraw, look };
			shown = mine;
			look();
		},
	);

	function update([where, wanted]) {
		if (environment(where)?.id !== env.id) return false;
		titled([wanted, title, env.name]);
		follow(wanted);
		return true;
	}

	draw();
	const seen = async () => {
		if (document.hidden || document.querySelector('dialog[open]')) return;
		rows = await load().catch(() => rows);
		draw();
	};
	document.addEventListener('visibilitychange', seen);
	return {
		title,
		element: div(tools, place),
		filter,
		add: openAdd,
		update,
		shown() {
			draw();
			update([name, key]);
		},
		stop() {
			grid.stop();
			document.removeEventListener('visibilitychange', seen);
		},
	};
}

const NOUNS = { secrets: 'secret', vars: 'variable' };

const keyColumn = (base) => ({
	title: 'Key',
	cell: (row) => link(`${base}/${row.key}`, row.key, { class: 'mono' }),
	sort: (row) => row.key,
});

// A delivered file is named by its path, a workload by its name.
const fileName = (service) => service.split('/').at(-1);

const uses = ({ usageCount, usedByServices }) =>
	usageCount
		? h('span', { title: usedByServices.join('\n') }, usedByServices.map(fileName).join(', '))
		: muted('Unused');

const COLUMNS = [
	{ title: 'Version', cell: (row) => `v${row.version}`, sort: (row) => row.version },
	{ title: 'Updated', cell: (row) => ago(row.updatedAt), sort: (row) => -Date.parse(row.updatedAt) },
	{ title: 'Used by', cell: uses, sort: (row) => row.usageCount },
];

export function usedBy({ usedByServices, usedByConfigFiles }) {
	const all = [...usedByServices.map(code), ...usedByConfigFiles.map((one) => [code(one), ' (template)'])];
	return all.length
		? h(
				'ul.inline',
				null,
				all.map((one) => h('li', null, one)),
			)
		: 'No workload or file';
}

export const about = (row) =>
	facts(
		['Description', row.description ?? muted('None')],
		['Version', row.version],
		['Updated', ago(row.updatedAt)],
		['Created', ago(row.createdAt)],
		['Used by', usedBy(row)],
	);
