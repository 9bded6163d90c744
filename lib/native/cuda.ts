import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { describe, type ErrorCode, EspalierError } from './error.js'
import { native } from './kernels.js'
import { type CudaOperations, type CudaPrecision, Dtype, type NativeOperations, onDevice, onDeviceAlone } from './operations.js'
import { type Device, DeviceArray, type NativeArray, type Owner } from './storage.js'

// The CUDA addon is a file of its own, looked for when a device is first asked for. Until one is there
// and in use the kernels' table is the CPU addon's own: who has no GPU pays nothing.

/** The addon: the kernels on device memory, and what handles of device memory need. */
export interface CudaAddon extends NativeOperations, CudaOperations {
  useErrorClass(made: new (code: ErrorCode, message: string) => Error): void
  allocate(dtype: Dtype, length: number): object
  release(handle: object): void
  upload(from: NativeArray | Uint16Array, to: object): void
  download(from: object, to: NativeArray | Uint16Array): void
  copy(from: object, to: object): void
  clear(handle: object): void
  describe(device: number): { name: string; memory: number; memoryFree: number; capability: number; multiprocessors: number; bandwidth: number }
  memory(): { used: number; cached: number }
  /** Kept when the stream's work is done that was queued before the call; broken by what went wrong in it. */
  settled(device: number, stream: number): Promise<void>
}

/** The kernels that only a GPU has; empty until there is one. */
export const nativeOnGpu = {} as CudaOperations

/** What this thread knows of its devices. */
export class Cuda implements Owner {
  /** The device that calls go to. */
  current: number
  /**
   * How products of float32 are computed, as far as this thread knows: what it set last. The setting is the process's,
   * and the addon does not tell it; masked layers go by this when they choose.
   */
  precision: keyof typeof CudaPrecision = 'float32'
  /** Bytes handed out since the last collection of garbage, less those given back by hand. */
  sinceCollection = 0
  /** How many they may be before the next one, by device. */
  readonly budgets: number[] = []
  /** Streams that nothing is queued on, by device. */
  readonly streams: number[][] = []

  constructor(
    readonly addon: CudaAddon,
    readonly count: number,
  ) {
    this.current = addon.device()
  }

  release({ handle, dtype, length }: DeviceArray): void {
    this.sinceCollection -= length * bytesOf[dtype]
    this.addon.release(handle)
  }

  clone(array: DeviceArray): DeviceArray {
    const made = allocateOn(array.device, array.dtype, array.length)
    this.addon.copy(array.handle, made.handle)
    return made
  }
}

const root = fileURLToPath(new URL('../..', import.meta.url))
let loaded: Cuda | string | null = null

/** The addon's state, or why there is none. */
export function cudaState(): Cuda | string {
  if (loaded === null) loaded = load()
  return loaded
}

function load(): Cuda | string {
  const { ESPALIER_CUDA_ADDON: named } = process.env
  const places =
    named === undefined
      ? [`${root}build-cuda/build/Release/espalier_cuda.node`, `${root}prebuilds/${process.platform}-${process.arch}/espalier_cuda.node`]
      : [named]
  const file = places.find((place) => existsSync(place))
  if (file === undefined) return `the CUDA addon is not built (${named ?? `npm run build:cuda --prefix ${root}`})`
  let addon: CudaAddon
  try {
    addon = createRequire(import.meta.url)(file) as CudaAddon
  } catch (cause) {
    return `the CUDA addon could not be loaded: ${cause instanceof Error ? cause.message.split('\n')[0] : cause}`
  }
  addon.useErrorClass(EspalierError)
  const count = addon.deviceCount()
  if (count === 0) return 'there is no NVIDIA GPU here, or no driver for this build'
  const cuda = new Cuda(addon, count)
  for (const name of onDevice) native[name] = dispatching(cuda, name, native[name] as Kernel, addon[name] as Kernel) as never
  for (const name of onDeviceAlone) nativeOnGpu[name] = dispatching(cuda, name, addon[name] as Kernel, addon[name] as Kernel) as never
  return cuda
}

type Kernel = (...args: unknown[]) => unknown

/** A kernel that runs where its arrays are. */
const dispatching =
  (cuda: Cuda, name: string, onHost: Kernel, onGpu: Kernel): Kernel =>
  (...args) => {
    let device: Device | null = null
    let host = false
    const place = (value: unknown): unknown => {
      if (value instanceof DeviceArray) {
        if (device !== null && device !== value.device) throw mixed(name, device, value.device)
        device = value.device
        if (value.disposed) throw new EspalierError('STATE', `${name}: an operand was disposed of`)
        return value.handle
      }
      if (ArrayBuffer.isView(value)) host = true
      return value
    }
    for (let i = 0; i < args.length; i++) {
      const value = args[i]
      if (typeof value === 'object' && value !== null) args[i] = Array.isArray(value) && typeof value[0] === 'object' ? value.map(place) : place(value)
    }
    if (device === null) return onHost(...args)
    if (host) throw mixed(name, 'cpu', device)
    select(cuda, device)
    return onGpu(...args)
  }

export const mixed = (name: string, a: Device, b: Device): EspalierError =>
  new EspalierError('DEVICE_MISMATCH', `${name}: one operand is on ${a}, another on ${b}; move one of them with .to('${a}') or .to('${b}')`)

const numberOf = (device: Device): number => (device === 'cuda' ? 0 : Number(device.slice('cuda:'.length)))
export const nameOf = (number: number): Device => (number === 0 ? 'cuda' : `cuda:${number}`)

function select(cuda: Cuda, device: Device): void {
  const number = numberOf(device)
  if (number === cuda.current) return
  cuda.addon.setDevice(number)
  cuda.current = number
}

/** Whether any device array may exist: until then nothing needs to look for one. */
export const cudaInUse = (): boolean => typeof loaded === 'object' && loaded !== null

/** The device a name stands for ('cuda:0' is 'cuda'), else an error that says why it is not there. */
export function deviceNamed(operation: string, name: unknown): Device {
  if (name === 'cpu') return 'cpu'
  const number = name === 'cuda' ? 0 : typeof name === 'string' && /^cuda:\d+$/.test(name) ? Number(name.slice('cuda:'.length)) : -1
  if (number < 0) throw new EspalierError('INVALID_ARGUMENT', `${operation}: device is ${describe(name)}, expected 'cpu', 'cuda' or 'cuda:' and a number`)
  const cuda = cudaState()
  if (typeof cuda === 'string') throw new EspalierError('DEVICE_MISSING', `${operation}: there is no device ${name}: ${cuda}`)
  if (number >= cuda.count) throw new EspalierError('DEVICE_MISSING', `${operation}: there is no device ${name}: there are ${cuda.count}, numbered from 0`)
  return nameOf(number)
}

/** The addon with `device` as its current one. */
export function cudaOn(device: Device): Cuda {
  const cuda = cudaState()
  if (typeof cuda === 'string') throw new EspalierError('DEVICE_MISSING', `there is no device ${device}: ${cuda}`)
  select(cuda, device)
  return cuda
}

/** Uninitialised storage on a device. */
export function allocateOn(device: Device, dtype: keyof typeof Dtype, length: number): DeviceArray {
  const cuda = cudaOn(device)
  const bytes = length * bytesOf[dtype]
  makeRoom(cuda, bytes)
  let handle: object
  try {
    handle = cuda.addon.allocate(Dtype[dtype], length)
  } catch (error) {
    if (!(error instanceof EspalierError) || error.code !== 'OUT_OF_MEMORY') throw error
    // What only garbage holds is enough, perhaps.
    collect(cuda)
    handle = cuda.addon.allocate(Dtype[dtype], length)
  }
  cuda.sinceCollection += bytes
  const made = new DeviceArray(handle, dtype, length, device, cuda)
  scopes.at(-1)?.push(made)
  return made
}

const bytesOf: Record<keyof typeof Dtype, number> = { float32: 4, float64: 8, int32: 4, int16: 2, int8: 1, uint8: 1, float16: 2, bfloat16: 2 }

// A handle is small, so that the garbage collector sees no reason to run while device memory fills up
// with what nothing refers to any more: it is called once a share of the memory was handed out. (Told of
// the bytes as of memory of its own, it would run some times a training step.) It frees device memory while
// it runs; nothing has to yield.
const share = 1 / 4
const mostBudget = 2 ** 34

function makeRoom(cuda: Cuda, bytes: number): void {
  cuda.budgets[cuda.current] ??= Math.min(mostBudget, share * cuda.addon.describe(cuda.current).memory)
  if (cuda.sinceCollection + bytes > cuda.budgets[cuda.current]) collect(cuda)
}

let collectGarbage: (() => void) | null = null
export function collect(cuda: Cuda): void {
  if (collectGarbage === null) {
    setFlagsFromString('--expose-gc')
    collectGarbage = runInNewContext('gc') as () => void
  }
  collectGarbage()
  cuda.sinceCollection = 0
}

/** Copies a host array's bytes to storage on a device of as many. */
export function upload(from: NativeArray | Uint16Array, to: DeviceArray): void {
  cudaOn(to.device).addon.upload(from, to.handle)
}

/** Waits for the device, and copies the bytes of storage there to a host array of as many. */
export function download<A extends NativeArray | Uint16Array>(from: DeviceArray, to: A): A {
  cudaOn(from.device).addon.download(from.handle, to)
  return to
}

/** Overwrites one array by the bytes of another on the same device. */
export function copyOnDevice(from: DeviceArray, to: DeviceArray): void {
  cudaOn(from.device).addon.copy(from.handle, to.handle)
}

/** Overwrites storage with zeros. */
export function clear(array: DeviceArray): void {
  cudaOn(array.device).addon.clear(array.handle)
}

/** Converts between the element types of two arrays on one device. */
export function castOnDevice(from: DeviceArray, to: DeviceArray): void {
  cudaOn(from.device).addon.cast(from.handle as never, to.handle as never)
}

/**
 * Queues what `body` queues on a stream of its own, behind all that the device was asked for before; done when the
 * device is. Arrays that are made in it, and those that outlive it, belong to other streams: they have to be kept until then.
 */
export async function onOwnStream(device: Device, body: () => void): Promise<void> {
  const cuda = cudaOn(device)
  const number = cuda.current
  cuda.streams[number] ??= []
  const stream = cuda.streams[number].pop() ?? cuda.addon.streamCreate()
  try {
    cuda.addon.setStream(stream)
    try {
      cuda.addon.waitStream(0)
      body()
    } finally {
      cudaOn(device).addon.setStream(0)
    }
  } finally {
    // What was queued before a failure has to end, too.
    await cuda.addon.settled(number, stream)
    cuda.streams[number].push(stream)
  }
}

/** Waits for what a device has been asked for so far, off the event loop. */
export async function deviceSettled(device: Device): Promise<void> {
  const cuda = cudaOn(device)
  await cuda.addon.settled(cuda.current, 0)
}

const scopes: DeviceArray[][] = []

/** Runs `body` and disposes of the device arrays made in it, but those that `survives` names or that are kept. */
export function scoped<T>(body: () => T, survivors: (result: T) => ReadonlySet<DeviceArray>): T {
  const made: DeviceArray[] = []
  scopes.push(made)
  let alive: ReadonlySet<DeviceArray> = new Set()
  try {
    const result = body()
    alive = survivors(result)
    return result
  } finally {
    scopes.pop()
    const outer = scopes.at(-1)
    for (const array of made)
      if (alive.has(array)) outer?.push(array)
      else if (!array.kept) array.dispose()
  }
}
