// Copies the local build to where a package carries it: prebuilds/<platform>-<arch>/, under a name that
// node-gyp-build reads (Node-API, so one binary serves every Node; on Linux it needs the C library named).
// Usage: node scripts/prebuild.mjs, after scripts/build-native.mjs
import { copyFileSync, mkdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const folder = `${root}prebuilds/${process.platform}-${process.arch}`
const libc = process.platform !== 'linux' ? '' : process.report.getReport().header.glibcVersionRuntime ? '.glibc' : '.musl'
mkdirSync(folder, { recursive: true })
copyFileSync(`${root}build/Release/espalier.node`, `${folder}/node.napi${libc}.node`)
console.log(`${folder}/node.napi${libc}.node`)
