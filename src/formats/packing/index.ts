/** Byte layouts of unpacked codes and back, in pairs. Tagged by name with the order of codes: nothing is inferred from bytes. */
export {
  packedLength, packHighFirst, packLowFirst, signExtend, unpackHighFirst, unpackLowFirst, unpackSignedLowFirst,
} from './bits.ts';
export { decodeGrouped, groupedCodes, type GroupedCodes } from './unsigned.ts';
export { packMatMulNBits, packZeroPoints, unpackMatMulNBits, unpackZeroPoints, type MatMulNBitsLayout } from './matmul-nbits.ts';
export {
  detectGptqVersion, packGptqWeight, packGptqZeros, unpackGptqWeight, unpackGptqZeros, type GptqVersion,
} from './gptq.ts';
export { packAwq, unpackAwq } from './awq.ts';
export {
  nvfp4GlobalScales, packFp4, packQuantized, packQuantizedZeros, scalesFromE4M3, scalesFromE8M0, scalesToE4M3, scalesToE8M0,
  unpackFp4, unpackQuantized, unpackQuantizedZeros,
} from './compressed-tensors.ts';
