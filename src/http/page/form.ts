// Forms: their fields with what was typed and what is wrong with it, and reading what was sent. What
// is missing or not understood is a problem at its field, never an exception.

import type { Context } from 'hono'
import { html } from 'hono/html'
import { parseDuration } from '../../duration.ts'
import { ApiError } from '../api-error.ts'
import { readBody } from '../json-body.ts'
import type { Content, Html } from './layout.ts'
import type { FieldProblem, PageWords } from './page-words.ts'

export interface Field {
  readonly name: string
  readonly label: string
  readonly hint?: string
  readonly value: string
  readonly problem?: string | undefined
  readonly isRequired?: boolean
  readonly isFirst?: boolean
  readonly type?: 'text' | 'search' | 'datetime-local' | 'textarea'
  readonly autocomplete?: string
}

export function field(options: Field): Html {
  const { name, label, hint, value, problem, isRequired = false, isFirst = false, type = 'text' } = options
  const id = `f-${name}`
  const described = [hint === undefined ? '' : `${id}-hint`, problem === undefined ? '' : `${id}-problem`]
    .filter((part) => part !== '')
    .join(' ')
  const attributes = html` id="${id}" name="${name}"${described === '' ? '' : html` aria-describedby="${described}"`}${problem === undefined ? '' : html` aria-invalid="true"`}${isRequired ? html` aria-required="true"` : ''}${isFirst ? html` autofocus` : ''}`
  return html`<div class="field${problem === undefined ? '' : ' invalid'}">
<label for="${id}">${label}</label>
${
  type === 'textarea'
    ? html`<textarea${attributes} rows="5" spellcheck="false">
${value}</textarea>`
    : html`<input type="${type}"${attributes} value="${value}" autocomplete="${options.autocomplete ?? 'off'}">`
}
${problem === undefined ? '' : html`<p class="wrong" id="${id}-problem">${problem}</p>`}
${hint === undefined ? '' : html`<p class="hint" id="${id}-hint">${hint}</p>`}
</div>`
}

export function selectField({
  name,
  label,
  value,
  options,
}: {
  readonly name: string
  readonly label: string
  readonly value: string
  readonly options: readonly { readonly value: string; readonly text: string }[]
}): Html {
  return html`<div class="field"><label for="f-${name}">${label}</label>
<select id="f-${name}" name="${name}">${options.map((option) => html`<option value="${option.value}"${option.value === value ? html` selected` : ''}>${option.text}</option>`)}</select></div>`
}

export function checkbox({
  name,
  label,
  hint,
  isChecked,
}: {
  name: string
  label: string
  hint: string
  isChecked: boolean
}): Html {
  return html`<div class="field check"><input type="checkbox" id="f-${name}" name="${name}" value="yes"${isChecked ? html` checked` : ''} aria-describedby="f-${name}-hint"><label for="f-${name}">${label}</label><p class="hint" id="f-${name}-hint">${hint}</p></div>`
}

/** All fields of a form that was sent, by name; each once. */
export type FormValues = ReadonlyMap<string, string>
export type Problems = ReadonlyMap<string, string>

const formType = /^application\/x-www-form-urlencoded\s*(?:;|$)/i
const mostFormBytes = 64 * 1024

/** @throws ApiError when it is no form. */
export async function readForm(context: Context): Promise<FormValues> {
  if (!formType.test(context.req.header('Content-Type') ?? '')) {
    throw new ApiError(400, 'expected what a form of this page sends')
  }
  const text = new TextDecoder().decode(await readBody(context, mostFormBytes))
  return new Map(new URLSearchParams(text))
}

/** Reads fields one by one, and remembers what is wrong with each. */
export function createFieldReader(values: FormValues, words: PageWords) {
  const problems = new Map<string, string>()
  const complain = (name: string, problem: FieldProblem, most = 0) =>
    void problems.set(name, words.problem(problem, most))
  const given = (name: string) => (values.get(name) ?? '').replaceAll('\r\n', '\n').trim()
  return {
    problems: problems as Problems,
    complain,
    /** In the service's own words. */
    refuse: (name: string, reason: string) => void problems.set(name, reason),
    text(
      name: string,
      { isRequired, most }: { readonly isRequired: boolean; readonly most: number },
    ): string {
      const value = given(name)
      if (value === '' && isRequired) complain(name, 'required')
      if (value.length > most) complain(name, 'too_long', most)
      return value
    },
    /** Null: left out. */
    durationMs(name: string, { isRequired }: { readonly isRequired: boolean }): number | null {
      const value = given(name)
      if (value === '') {
        if (isRequired) complain(name, 'required')
        return null
      }
      const ms = parseDuration(value.replaceAll(' ', ''))
      if (ms === undefined || ms === 0) complain(name, 'no_duration')
      return ms ?? null
    },
    /** As `datetime-local` sends it, in UTC; null: left out. */
    instant(name: string): number | null {
      const value = given(name)
      if (value === '') return null
      const at = /^\d{4,6}-\d{2}-\d{2}[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?Z?$/.test(value)
        ? Date.parse(`${value.replace(' ', 'T').replace(/Z$/, '')}Z`)
        : Number.NaN
      if (Number.isNaN(at)) complain(name, 'no_instant')
      return Number.isNaN(at) ? null : at
    },
    isChecked: (name: string) => given(name) === 'yes',
  }
}

/** Says above a form how much is wrong with it. */
export function problemSummary(
  words: PageWords,
  problems: Problems,
  labels: Readonly<Record<string, string>>,
): Content {
  if (problems.size === 0) return ''
  return html`<div class="wrong-box" role="alert"><p>${words.problems(problems.size)}:</p><ul>${[...problems].map(([name, problem]) => html`<li><a href="#f-${name}">${labels[name] ?? name}: ${problem}</a></li>`)}</ul></div>`
}

/** The values as they were sent, unseen. */
export function hiddenFields(values: FormValues, names: readonly string[]): Content {
  return names.map((name) => html`<input type="hidden" name="${name}" value="${values.get(name) ?? ''}">`)
}
