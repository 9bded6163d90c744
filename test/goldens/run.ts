// Runs every golden case: results of the reference systems against ours. Prints each failure and ends
// with `N passed, N failed`. A file, case or configuration nobody here knows is a failure.
//
// ESPALIER_GOLDENS names the folder of the .json files; by default this one.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

/** Yields one verdict a case: its name, and what is wrong with it (undefined: nothing). */
export type Section = (golden: never) => Generator<{ name: string; fault?: string; pending?: boolean }>

const here = fileURLToPath(new URL('.', import.meta.url))

/** A golden file X.json is run by the section in X.ts beside this runner. */
async function sectionOf(file: string): Promise<Section | undefined> {
  const source = join(here, file.replace(/\.json$/, '.ts'))
  try {
    return ((await import(pathToFileURL(source).href)) as { default: Section }).default
  } catch (cause) {
    if ((cause as { code?: string }).code === 'ERR_MODULE_NOT_FOUND' && String(cause).includes(file.replace(/\.json$/, '.ts'))) return undefined
    throw cause
  }
}

/** Runs the folder; `report` hears of every case. */
export async function runGoldens(
  folder: string,
  report: (file: string, name: string, fault?: string) => void,
): Promise<{ passed: number; failed: number; pending: number }> {
  const counts = { passed: 0, failed: 0, pending: 0 }
  for (const file of readdirSync(folder)
    .filter((name) => name.endsWith('.json'))
    .sort()) {
    const section = await sectionOf(file)
    const verdicts =
      section === undefined
        ? [{ name: file, fault: 'no section of the runner knows this file' }]
        : section(JSON.parse(readFileSync(join(folder, file), 'utf8')) as never)
    for (const { name, fault, pending } of verdicts as Iterable<{ name: string; fault?: string; pending?: boolean }>) {
      if (pending) counts.pending++
      else if (fault === undefined) counts.passed++
      else counts.failed++
      report(file, name, fault)
    }
  }
  return counts
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const folder = process.env.ESPALIER_GOLDENS ?? here
  const { passed, failed, pending } = await runGoldens(folder, (file, name, fault) => {
    if (fault !== undefined) console.log(`${file} ${name}: ${fault}`)
  })
  if (pending > 0) console.log(`${pending} pending`)
  console.log(`${passed} passed, ${failed} failed`)
  if (failed > 0) process.exitCode = 1
}
