// The address of the page: reading it, changing it, and what a change of it means.
//
// Owns: the history, the title, the dialog that the address names, the way in and out of
// a session. app.js decides what is shown for an address. Imported by every view; must
// never import one.

import { loadSession, session } from './api.js';
import { closeDialogs, toast } from './ui.js';

// Views without navigation, for visitors who are not logged in.
export const BARE = ['login', 'setup'];

// Set in the local storage when keyboard shortcuts are off.
export const KEYS = 'coffer.keys';

const page = {};
const tabs = new BroadcastChannel('coffer');
// Another tab logged in or out: the session of this one changed as well.
tabs.onmessage = () => location.reload();

// `render()` shows the view of the current address; `clear()` removes everything shown.
export const connect = (render, clear) => Object.assign(page, { render, clear });

export const here = () => location.pathname + location.search;
export const viewName = () => location.pathname.split('/')[1];
export const titled = (parts) => {
	document.title = [...parts, 'coffer'].filter(Boolean).join(' · ');
};

export function navigate(path, replace) {
	if (path !== here()) history[replace ? 'replaceState' : 'pushState'](null, '', path);
	return page.render();
}

// Opens and closes the dialog that the address names after `base`. `find` finds what it is
// about; `present` opens it, and calls back when it is closed.
export function byUrl(base, find, present) {
	let shown;
	return (wanted) => {
		if (shown === wanted) return;
		// Dialogs on top of it close first.
		if (shown) closeDialogs();
		shown = wanted;
		const thing = wanted && find(wanted);
		if (thing) {
			present(thing, () => {
				if (shown !== wanted) return;
				shown = undefined;
				if (location.pathname.endsWith(`/${wanted}`)) navigate(base, true);
			});
		} else if (wanted) {
			toast(`There is no ${wanted} here.`);
			navigate(base, true);
		}
	};
}

// Ends the session in this tab and in the others. `lost`: the user did not ask for it.
export function leave(path, lost) {
	session.me = null;
	session.lost = lost;
	tabs.postMessage(0);
	// Nothing remains visible, however long the next view takes to load.
	closeDialogs();
	page.clear();
	navigate(path);
}

// Starts the session after a login, and opens the page that the user came for.
export async function enter() {
	await loadSession();
	tabs.postMessage(0);
	const next = new URLSearchParams(location.search).get('next') ?? '/';
	const url = new URL(URL.canParse(next, location) ? next : '/', location);
	const isOurs = url.origin === location.origin && !BARE.includes(url.pathname.split('/')[1]);
	return navigate(isOurs ? url.pathname + url.search : '/', true);
}
