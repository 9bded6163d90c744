// The one list of native sources, read by binding.gyp and native/CMakeLists.txt: every .cc of the
// rooms named on the command line, relative to the folder that holds native/.
import { readdirSync } from 'node:fs'

const rooms = new Set(process.argv.slice(2))
for (const room of readdirSync(new URL('../native', import.meta.url)).sort())
  if (rooms.has(room))
    for (const file of readdirSync(new URL(`../native/${room}`, import.meta.url)).sort()) if (file.endsWith('.cc')) console.log(`native/${room}/${file}`)
