// The page's URL: reads it, changes it, and keeps the page in step with it.
//
// Owns: history, document title, the dialog that a URL names, and what happens on login
// and logout. Every view imports it; it must never import a view. app.js decides what a
// URL shows and tells it by `connect`.

import { loadSession, session } from './api.js';
import { closeDialogs, toast } from './ui.js';

// Views without navigation, for visitors who are not logged in.
export const BARE = ['login', 'setup'];

// Set in the local storage when keyboard shortcuts are off.
export const KEYS = 'coffer.keys';

const page = {};
const tabs = new BroadcastChannel('coffer');
// Another tab logged in or out, which changes the session of this tab as well.
tabs.onmessage = () => location.reload();

// `render()` shows the view for the current URL; `clear()` removes everything from the page.
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

// Returns a function that shows the dialog for the item that a URL names after `base`.
// `find` returns the item, `missing` says that it does not exist, and `present` opens the
// dialog and calls back when it closes.
export function byUrl(base, find, missing, present) {
	let shown;
	return (wanted) => {
		if (shown === wanted) return;
		// Dialogs on top of it close first.
		if (shown) closeDialogs();
		shown = wanted;
		const item = wanted && find(wanted);
		if (item) {
			present(item, () => {
				if (shown !== wanted) return;
				shown = undefined;
				if (location.pathname.endsWith(`/${wanted}`)) navigate(base, true);
			});
		} else if (wanted) {
			toast(missing(wanted));
			navigate(base, true);
		}
	};
}

// Ends the session in this tab and all others. `lost` is true if the user did not log out.
export function leave(path, lost) {
	session.me = null;
	session.lost = lost;
	tabs.postMessage(0);
	// Clear the page now: the next view may take a while to load.
	closeDialogs();
	page.clear();
	navigate(path);
}

// Starts the session after a login and opens the page that the user asked for.
export async function enter() {
	await loadSession();
	tabs.postMessage(0);
	const next = new URLSearchParams(location.search).get('next') ?? '/';
	const url = new URL(URL.canParse(next, location) ? next : '/', location);
	const isOurs = url.origin === location.origin && !BARE.includes(url.pathname.split('/')[1]);
	return navigate(isOurs ? url.pathname + url.search : '/', true);
}
