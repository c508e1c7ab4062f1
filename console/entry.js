// Typing a value in, and importing a whole `.env` file.
//
// Must never: show a value that nobody asked to see; leave one in a field that is
// not being filled in any more.

import { api, at } from './api.js';
import { envLines, plural, readEnv } from './format.js';
import { alertBox, badge, button, check, code, dialog, field, form, h, input, select, table, toast, wrong } from './ui.js';

const ALPHABETS = [
  ['alphanumeric', 'Letters and digits'],
  ['hex', 'Hexadecimal'],
  ['base64url', 'Base64, for URLs'],
  ['ascii', 'Everything on a keyboard'],
];
const MOST_LINES = 1000;

/** A text field whose text is dots until it is shown. */
export function masked(name, { rows = 2, label = 'value', ...props } = {}) {
  const area = h('textarea', { name, rows, class: 'masked mono', autocomplete: 'off', autocapitalize: 'none', spellcheck: 'false', autocorrect: 'off', 'data-1p-ignore': true, 'data-lpignore': 'true', ...props });
  const toggle = button(`Show ${label}`, () => {
    const shown = area.classList.toggle('masked');
    toggle.replaceChildren(`${shown ? 'Show' : 'Hide'} ${label}`);
  });
  return { area, toggle };
}

/** A value, typed or made by the server. `read()` is what the API wants to have. */
export function valueField() {
  const { area, toggle } = masked('value');
  const typed = field('Value', area, { beside: toggle });
  const length = input('generate.length', { type: 'number', min: 1, max: 4096, value: '32' });
  const alphabet = select('generate.alphabet', ALPHABETS);
  const made = h('div', { class: 'pair', hidden: true }, field('Length', length), field('Alphabet', alphabet));
  const box = check('generate', 'Generate it in the server', {}, 'Then not even you see it.');
  const generate = box.querySelector('input');
  generate.addEventListener('change', () => {
    made.hidden = !generate.checked;
    typed.hidden = generate.checked;
    area.value = '';
  });
  return {
    area,
    nodes: [typed, box, made],
    read() {
      if (generate.checked) return { generate: { length: Number(length.value), alphabet: alphabet.value } };
      if (!area.value) throw wrong('value', 'Type a value, or have one generated.');
      return { value: area.value };
    },
  };
}

/** Offers to import when several lines of a `.env` file are put into one of these fields. */
export function offerImport(controls, open) {
  const place = h('div', { class: 'offer', role: 'status' });
  for (const control of controls) {
    control.addEventListener('paste', (event) => {
      const text = event.clipboardData?.getData('text') ?? '';
      const lines = envLines(text);
      if (!lines) return place.replaceChildren();
      // Into a field of one line, all of them would go as one.
      if (control.tagName === 'INPUT') event.preventDefault();
      return place.replaceChildren(`These look like ${lines} lines of a .env file. `, button(`Import all ${lines}`, () => open(text)));
    });
  }
  return place;
}

const OUTCOMES = {
  created: ['good', 'New'],
  replaced: ['warn', 'Replaces the value'],
  skipped: ['off', 'Exists, is skipped'],
  conflict: ['bad', 'Exists already'],
};
const DONE = { created: ['good', 'Created'], replaced: ['good', 'Replaced'], skipped: ['off', 'Skipped'] };

/** The dialog that imports; `kind` is `secrets` or `vars`. */
export function importDialog(environment, kind, { text = '', sealed = false, done }) {
  const one = kind.slice(0, -1);
  const path = at`/api/environments/${environment}/${kind}/import`;
  dialog('Import a .env file', (close) => {
    const { area, toggle } = masked('lines', { rows: 5, label: 'values', value: text });
    const file = h('input', { type: 'file', 'aria-label': 'Choose a file' });
    const conflict = select('onConflict', [['skip', 'Skip it'], ['replace', 'Replace its value'], ['fail', 'Import nothing']]);
    const seal = kind === 'secrets' && check('neverReveal', 'Write-only', { checked: sealed }, WRITE_ONLY);
    const preview = h('div', { class: 'preview' });
    const notes = alertBox();
    let turn = 0;
    const items = () => readEnv(area.value);
    const body = (entries, dryRun) => ({
      [kind]: entries.map((entry) => (seal && seal.querySelector('input').checked ? { ...entry, neverReveal: true } : entry)),
      onConflict: conflict.value,
      dryRun,
    });
    const outcomes = (results, words) =>
      table('What becomes of each key', [['Key', (row) => code(row.key)], ['Outcome', (row) => badge(...words[row.outcome])]], results, '');

    async function look() {
      const mine = (turn += 1);
      const { entries, problems } = items();
      made.relabel(entries.length ? `Import ${plural(entries.length, one)}` : 'Import');
      notes.clear();
      const bad = problems.length > 0 && h('div', { class: 'alert' }, h('strong', null, 'These lines cannot be read; nothing is imported until they can.'),
        h('ul', null, problems.slice(0, 20).map(({ line, what }) => h('li', null, `Line ${line}: ${what}.`))));
      let rows = '';
      if (entries.length > MOST_LINES) notes.say(`${plural(entries.length, 'line')}: at most ${MOST_LINES} can be imported at once.`);
      else if (entries.length) {
        try {
          const { import: report } = await api('POST', path, body(entries, true));
          rows = outcomes(report.results, OUTCOMES);
        } catch (error) {
          if (mine === turn) notes.show(error);
        }
      }
      if (mine === turn) preview.replaceChildren(...[bad, rows].filter(Boolean));
    }
    let timer;
    const soon = () => {
      clearTimeout(timer);
      timer = setTimeout(look, 250);
    };
    const made = form(
      [
        field('Lines of a .env file', area, { beside: toggle, hint: 'KEY=value, one a line, as in docs/formats.md.' }),
        h('div', { class: 'field' }, file),
        field('When a key exists', conflict),
        seal,
        notes.box,
        preview,
      ],
      {
        label: 'Import',
        cancel: close,
        async submit() {
          const { entries, problems } = items();
          if (problems.length) throw wrong('lines', 'Some lines cannot be read; see below.');
          if (!entries.length) throw wrong('lines', 'There is nothing to import yet.');
          const { import: report } = await api('POST', path, body(entries, false));
          area.value = '';
          toast(`Imported: ${report.created} created, ${report.replaced} replaced, ${report.skipped} skipped.`);
          made.replaceWith(h('p', null, `${plural(report.created + report.replaced, one)} imported.`), outcomes(report.results, DONE),
            h('div', { class: 'actions' }, button('Done', close, { class: 'primary' })));
          await done();
        },
      },
    );
    area.addEventListener('input', soon);
    made.addEventListener('change', (event) => event.target !== area && event.target !== file && look());
    file.addEventListener('change', async () => {
      area.value = (await file.files[0]?.text()) ?? '';
      file.value = '';
      look();
    });
    if (text) look();
    return made;
  }, { wide: true });
}

export const WRITE_ONLY = 'Nobody can ever see the value again, admins included. This cannot be undone.';
