import { createRequire } from 'node:module'
import { join } from 'node:path'
import { workshop } from './process.js'
import { Missing } from './task.js'

/** An npm package for a rival: from the project, or from build-bench, where `install` puts it. */
export function npm<T>(name: string, setting = ''): T {
  for (const folder of [import.meta.url, join(workshop, 'package.json')])
    try {
      return createRequire(folder)(name) as T
    } catch (cause) {
      if ((cause as { code?: string }).code !== 'MODULE_NOT_FOUND') throw cause
    }
  throw new Missing(name, `${setting} npm install --no-save --prefix build-bench ${name}`.trim())
}
