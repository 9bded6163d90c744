// Configures and builds native/CMakeLists.txt through cmake-js, into a folder of its own a variant.
import { bin, node } from './steps.mjs'

/** Builds `folder`, all of it or some targets; `options` become cache entries. False when it fails; the steps know of it. */
export function buildWithCMake(steps, folder, options = {}, targets = []) {
  const cmakeJs = bin('cmake-js', 'bin/cmake-js')
  const entries = Object.entries(options).map(([name, value]) => `--CD${name}=${value}`)
  return (
    steps.run(`configure ${folder}`, node, [cmakeJs, 'configure', '-d', 'native', '-O', folder, '-l', 'error', ...entries], { quiet: true }) &&
    steps.run(`compile ${folder}`, 'cmake', ['--build', folder, '--parallel', ...(targets.length > 0 ? ['--target', ...targets] : [])], { quiet: true })
  )
}
