/** Chat templates: what their package renders, and an end to what strangers' ones compute. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Template } from '@huggingface/jinja';
import { render } from '../../src/runtime/chat-template.ts';

const values = { messages: [{ role: 'user', content: ' Who? ' }, { role: 'assistant', content: 'I.' }], add_generation_prompt: true, bos_token: '<s>', eos_token: '</s>' };

/** The ways of published templates: loops with their variables, conditions, slices, filters, macros, namespaces, tests, dates. */
const templates = [
  "{{ bos_token }}{% for message in messages %}\n  {% if loop.first %}[{{ message['role'] | upper }}]{% endif %}{{ message.content | trim }}{% if not loop.last %}{{ eos_token }}{% endif %}\n{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}",
  "{% set ns = namespace(n=0) %}{% for i in range(2, 9, 3) %}{% set ns.n = ns.n + i %}{% endfor %}{{ ns.n }} {{ range(3) | list | tojson }} {{ range(5, 0, -2) | list | tojson }}",
  "{% macro said(m) %}{{ m.role ~ ': ' ~ m.content }}{% endmacro %}{{ said(messages[-1]) }}{{ messages[1:] | length }}{{ none is none and True and not False }}",
  "{{ strftime_now('%Y-%m-%d %b %H %%') }}{{ tools is defined }}{{ messages | selectattr('role', 'equalto', 'user') | list | length }}",
];

for (const template of templates) test(`as the package renders it: ${template.slice(0, 40)}…`, () => assert.equal(render(template, values), new Template(template).render(values)));

const endless: readonly (readonly [name: string, template: string, reason: RegExp])[] = [
  ['a range of a hundred million', '{% for i in range(100000000) %}x{% endfor %}', /a range of 100000000 numbers/],
  ['steps of nothing', '{{ range(1, 2, 0) | list }}', /a range of Infinity numbers/],
  ['loops in loops', '{% for i in range(9999) %}{% for j in range(9999) %}{{ j }}{% endfor %}{% endfor %}', /more than 500000 steps/],
  ['a text that doubles', '{% set ns = namespace(t="xxxxxxxx") %}{% for i in range(60) %}{% set ns.t = ns.t ~ ns.t %}{% endfor %}{{ ns.t }}', /string length|characters/],
  ['its own complaint', '{{ raise_exception("no system here") }}', /^Error: no system here$/],
];

for (const [name, template, reason] of endless) test(`a template comes to an end: ${name}`, () => assert.throws(() => render(template, values), reason));
