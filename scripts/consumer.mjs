// The library as its users have it: installed, found by find_package, linked by a C program that knows no more.
import { copyFileSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { closingLine, root } from './steps.mjs'

/**
 * Installs what `folder` has built into `where`/installed, and builds and runs `source` with each of the package's libraries
 * in `kinds`. The prefix, or null where that fails.
 */
export function useInstalled(steps, folder, where, source, kinds, components = []) {
  const prefix = `${root}${where}/installed`
  rmSync(`${root}${where}`, { recursive: true, force: true })
  mkdirSync(`${root}${where}/program`, { recursive: true })
  copyFileSync(`${root}${source}`, `${root}${where}/program/main.c`)
  const wanted = components.length > 0 ? ` COMPONENTS ${components.join(' ')}` : ''
  writeFileSync(
    `${root}${where}/program/CMakeLists.txt`,
    ['cmake_minimum_required(VERSION 3.20)', 'project(consumer C)', `find_package(espalier 0.1 REQUIRED${wanted})`]
      .concat(kinds.flatMap((kind) => [`add_executable(${kind} main.c)`, `target_link_libraries(${kind} PRIVATE espalier::${kind})`]))
      .join('\n'),
  )
  const program = `${root}${where}/program`
  const build = `${root}${where}/build`
  const built =
    steps.run('install', 'cmake', ['--install', folder, '--prefix', prefix], { quiet: true }) &&
    steps.run('find the package', 'cmake', ['-S', program, '-B', build, `-DCMAKE_PREFIX_PATH=${prefix}`], { quiet: true }) &&
    steps.run('compile against it', 'cmake', ['--build', build], { quiet: true })
  if (!built) return null
  for (const kind of kinds) steps.run(`run, ${kind}`, `${build}/${kind}`, [], { count: closingLine })
  return prefix
}
