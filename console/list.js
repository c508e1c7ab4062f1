// What secrets and vars have in common as pages: a filtered table, the import, and
// a dialog for the one that the URL names.

import { api, at, can, environment, get } from './api.js';
import { importDialog } from './entry.js';
import { count } from './format.js';
import { byUrl, navigate, titled } from './router.js';
import { filterBox, windowed } from './table.js';
import { adding, ago, button, code, dialog, div, emptyState, facts, h, link, muted, say } from './ui.js';

// `kind` is `secrets` or `vars`; `detail(row, context)` answers the nodes of its dialog and how to stop.
export async function openList({ kind, title, columns, detail, add, empty, words, settings }, [name, key]) {
	const one = kind.slice(0, -1);
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
		settings,
		// What the API answers takes the place of what was here; what it refuses may be because that is old.
		async change(method, path, body) {
			const { [one]: row } = await api(method, path, body).catch((error) => {
				if (error.status === 409) {
					error.hint = 'Look again at what is there now.';
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
		mayWrite && [adding(`Add ${one}`, openAdd), button('Import .env', () => context.openImport(''))];
	const none = h('p.muted', { hidden: true }, `No ${one} matches. Esc empties the filter.`);
	const tell = () => {
		tally.textContent = `${count(grid.count())} of ${count(rows.length)} ${rows.length === 1 ? one : kind}`;
		none.hidden = grid.count() > 0;
	};
	const filter = filterBox(
		`Filter ${kind}`,
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
					`No ${kind} in ${env.name} yet`,
					mayWrite ? empty : 'Your role may read here and not write.',
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
			// Somebody else may have changed it meanwhile.
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

const keyColumn = (base) => ({
	title: 'Key',
	cell: (row) => link(`${base}/${row.key}`, row.key, { class: 'mono' }),
	sort: (row) => row.key,
});

const uses = ({ usageCount, usedByServices }) =>
	usageCount ? h('span', { title: usedByServices.join('\n') }, `used by ${count(usageCount)}`) : muted('not used');

const COLUMNS = [
	{ title: 'Version', cell: (row) => `v${row.version}`, sort: (row) => row.version },
	{ title: 'Age', cell: (row) => ago(row.updatedAt), sort: (row) => -Date.parse(row.updatedAt) },
	{ title: 'Use', cell: uses, sort: (row) => row.usageCount },
];

export function usedBy({ usedByServices, usedByConfigFiles }) {
	const all = [...usedByServices.map(code), ...usedByConfigFiles.map((one) => [code(one), ' (template)'])];
	return all.length
		? h(
				'ul.inline',
				null,
				all.map((one) => h('li', null, one)),
			)
		: 'nothing that the host declares';
}

export const about = (row) =>
	facts(
		['Description', row.description ?? muted('none')],
		['Version', row.version],
		['Changed', ago(row.updatedAt)],
		['Created', ago(row.createdAt)],
		['Used by', usedBy(row)],
	);
