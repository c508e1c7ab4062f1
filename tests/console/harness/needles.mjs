// Every encoding in which a planted text might leak. The server's tests search for the same.

import { createHash } from 'node:crypto';

/** Shorter texts would match by chance. */
const FEWEST = 8;

export function needles(text) {
	const bytes = Buffer.from(text);
	const found = [
		['raw', text],
		['reversed', [...text].reverse().join('')],
		['hex', bytes.toString('hex')],
		['hex', bytes.toString('hex').toUpperCase()],
		...inBase64(bytes),
		...inText(text),
	];
	for (const algorithm of ['sha1', 'sha256', 'sha512']) {
		for (const form of ['hex', 'base64', 'base64url']) {
			found.push([algorithm, createHash(algorithm).update(bytes).digest(form).replace(/=+$/, '')]);
		}
	}
	const short = found.find(([, needle]) => needle.length < FEWEST);
	if (short) throw new Error(`${text} as ${short[0]} is too short to search for`);
	return found.map(([form, needle]) => ({ form, needle }));
}

/** Within a longer Base64 text, a part has one of three forms, depending on its offset. */
function inBase64(bytes) {
	return [0, 1, 2].flatMap((shift) =>
		['base64', 'base64url'].map((form) => {
			const padded = Buffer.concat([Buffer.alloc(shift), bytes]);
			const encoded = padded.toString(form).replace(/=+$/, '');
			const end = padded.length % 3 === 0 ? encoded.length : encoded.length - 1;
			return [form, encoded.slice([0, 2, 3][shift], end)];
		}),
	);
}

function inText(text) {
	const json = JSON.stringify(text).slice(1, -1);
	const escaped = (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`;
	const url = encodeURIComponent(text);
	const html = text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
	return [
		['json', json],
		['json', json.replace(/[\u0080-\uffff]/g, escaped)],
		['json', json.replaceAll('/', '\\/')],
		['url', url],
		['url', url.replaceAll('%20', '+')],
		['url', encodeURI(text)],
		['form', new URLSearchParams({ x: text }).toString().slice(2)],
		['html', html],
		['html', html.replaceAll('"', '&quot;')],
	];
}
