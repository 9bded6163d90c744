// What a JavaScript rival needs that runs in a process of its own: its inputs, and the conversation with
// the harness (see process.ts).
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

const [folder, ...rest] = process.argv.slice(2)

export const rivalArguments = rest.map(Number)

/** The raw float32 array of that name. */
export function load(name: string): Float32Array {
  const bytes = readFileSync(join(folder, name))
  return new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength))
}

/** Answers the harness until it hangs up; `output` gives the result of one run. */
export async function serve(run: () => void, output: () => Float32Array): Promise<void> {
  for await (const line of createInterface({ input: process.stdin })) {
    const [word, count] = line.split(' ')
    if (word === 'time') {
      const start = performance.now()
      for (let i = 0; i < Number(count); i++) run()
      console.log(performance.now() - start)
    } else {
      writeFileSync(join(folder, 'output'), output())
      console.log('output float32')
    }
  }
}
