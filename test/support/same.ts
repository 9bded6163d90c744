/** Whether two arrays hold the same bits. (Ava's deepEqual takes its time for each element.) */
export function sameBits(one: ArrayBufferView, other: ArrayBufferView): boolean {
  const bytes = ({ buffer, byteOffset, byteLength }: ArrayBufferView) => new Uint8Array(buffer, byteOffset, byteLength)
  return Buffer.compare(bytes(one), bytes(other)) === 0
}
