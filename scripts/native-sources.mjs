// The one list of native sources, read by binding.gyp and native/CMakeLists.txt: every .cc of the
// rooms named on the command line, relative to the folder that holds native/.
import { readdirSync } from 'node:fs'

const root = new URL('..', import.meta.url)
for (const room of process.argv.slice(2)) {
  const folder = `native/${room}`
  for (const file of readdirSync(new URL(folder, root)).sort()) if (file.endsWith('.cc')) console.log(`${folder}/${file}`)
}
