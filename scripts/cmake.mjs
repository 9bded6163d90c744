// Configures and builds native/CMakeLists.txt through cmake-js, into a folder of its own a variant.
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { node, root } from './steps.mjs'

/** Where a package's file is, beside us or further up; undefined where it is not. */
function installed(file) {
  try {
    return createRequire(import.meta.url).resolve(file)
  } catch {
    return undefined
  }
}

/** The command that configures `folder`. In an installed package, which has no cmake-js, CMake alone with the headers that Node brings. Or what is missing, in words. */
function configuring(folder, options) {
  const cmakeJs = installed('cmake-js/bin/cmake-js')
  const entries = (prefix) => Object.entries(options).map(([name, value]) => `${prefix}${name}=${value}`)
  if (cmakeJs !== undefined) return [node, [cmakeJs, 'configure', '-d', 'native', '-O', folder, '-l', 'error', ...entries('--CD')]]
  const headers = join(dirname(dirname(process.execPath)), 'include/node')
  if (!existsSync(join(headers, 'node_api.h'))) return `this Node brings no headers; run: npm install --no-save cmake-js --prefix ${root}`
  const wrapper = installed('node-addon-api/package.json')
  if (wrapper === undefined) return `node-addon-api is not installed; run: npm install --no-save node-addon-api --prefix ${root}`
  return ['cmake', ['-S', 'native', '-B', folder, `-DCMAKE_JS_INC=${headers};${dirname(wrapper)}`, ...entries('-D')]]
}

/** Builds `folder`, all of it or some targets; `options` become cache entries. False when it fails; the steps know of it. */
export function buildWithCMake(steps, folder, options = {}, targets = []) {
  const command = configuring(folder, options)
  if (typeof command === 'string') {
    steps.fail(`configure ${folder}`, command)
    return false
  }
  return (
    steps.run(`configure ${folder}`, ...command, { quiet: true }) &&
    steps.run(`compile ${folder}`, 'cmake', ['--build', folder, '--parallel', ...(targets.length > 0 ? ['--target', ...targets] : [])], { quiet: true })
  )
}
