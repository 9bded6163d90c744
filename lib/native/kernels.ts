import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import { type ErrorCode, EspalierError } from './error.js'
import type { NativeOperations } from './operations.js'

/** What the addon for the CPU has beyond the header's functions. */
interface AsyncOperations {
  /** `programRun` off the event loop: x is copied before it returns, the promise holds what it writes. */
  programRunAsync(program: number, batch: number, x: Float32Array): Promise<Float32Array>
}

interface Addon extends NativeOperations, AsyncOperations {
  useErrorClass(made: new (code: ErrorCode, message: string) => Error): void
}

// lib/native in a checkout, dist/native in a package: the root is two folders up in both.
const root = fileURLToPath(new URL('../..', import.meta.url))

/** A prebuilt binary for this platform where the package carries one, else the local build. */
function loadAddon(): Addon {
  const require = createRequire(import.meta.url)
  try {
    const load = require('node-gyp-build') as (folder: string) => Addon
    return load(root)
  } catch (cause) {
    throw new EspalierError(
      'ADDON_MISSING',
      `the native addon could not be loaded for ${process.platform}-${process.arch}, Node ${process.versions.node}; build it with: npm run build:native --prefix ${root} (${cause instanceof Error ? cause.message.split('\n')[0] : cause})`,
      { cause },
    )
  }
}

const addon = loadAddon()
addon.useErrorClass(EspalierError)

/**
 * The kernels, one function each; see native/include/espalier.h for what they take. Once a GPU is in use
 * those that run there too go by where their arrays are.
 */
export const native: NativeOperations & AsyncOperations = { ...addon }
