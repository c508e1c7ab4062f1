// Serves the console's files from the directory in COFFER_CONSOLE_OVERLAY instead of from
// the binary, so that a change needs no build. Headers are the server's, so that the
// content security policy applies to them as well.

import { existsSync, readFileSync } from 'node:fs';
import { extname, join } from 'node:path';

const TYPES = {
	'.html': 'text/html; charset=utf-8',
	'.js': 'text/javascript; charset=utf-8',
	'.css': 'text/css; charset=utf-8',
	'.svg': 'image/svg+xml',
};

export async function overlay(context, directory) {
	if (!directory) return;
	await context.route('**/console/*', (route) => {
		const name = new URL(route.request().url()).pathname.replace('/console/', '');
		return existsSync(join(directory, name)) ? put(route, join(directory, name)) : route.continue();
	});
	await context.route(
		(url) => !/^\/(api|console|health|openapi)/.test(url.pathname),
		(route) => {
			if (!route.request().isNavigationRequest()) return route.continue();
			return put(route, join(directory, 'index.html'));
		},
	);
}

async function put(route, file) {
	const reply = await route.fetch({ maxRedirects: 0 });
	const headers = { ...reply.headers(), 'content-type': TYPES[extname(file)] };
	delete headers['content-length'];
	delete headers.etag;
	await route.fulfill({ status: 200, headers, body: readFileSync(file) });
}
