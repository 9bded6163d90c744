import { createRequire } from 'node:module'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Missing } from './task.js'

/** Where compiled rivals, their inputs and packages installed for the benchmarks live. */
export const workshop = fileURLToPath(new URL('../../build-bench', import.meta.url))

/** Throws `Missing` unless the package is in the project or in build-bench, where `install` puts it; gives the loader that finds it. */
export function requireInstalled(name: string, setting = ''): NodeJS.Require {
  for (const from of [import.meta.url, join(workshop, 'package.json')]) {
    const load = createRequire(from)
    try {
      load.resolve(name)
      return load
    } catch (cause) {
      if ((cause as { code?: string }).code !== 'MODULE_NOT_FOUND') throw cause
    }
  }
  throw new Missing(name, `${setting} npm install --no-save --prefix build-bench ${name}`.trim())
}

/** An npm package for a rival that runs in this process. */
export const npm = <T>(name: string, setting = ''): T => requireInstalled(name, setting)(name) as T
