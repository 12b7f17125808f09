// Generated from kernels/ssm/index.ts by kernels/build.mjs; do not edit.
import { inflated } from './inflated.ts';

const base64 =
  'bVJPaxNBFJ+Z3WQ3O7PNtmma4qVv9uAhN2/+T5aC+AdExLO0lCBu/oGVgBRJwJPX0pPfwAi9quBFP4BfwIuC1S/hgL/ZpM1Eu8tv9838fu/Ne28e293v' +
  'c8YYvyB21Nh52E5waokq9zqDUbnf6Q+fvRCMex4+wUUv3hsORsPeqPNo2O0MGK/s7+0OZjY7U0ffAvFJeP5Beey9pCgTz3WdAgr7etVrw0ju+m1KaLVP' +
  '9V4aUinXa1SmMNc1SiDGlpebimB6hQS2m7A2yJ9bjYzpCGEqFNkwG8Sxm24emZquGoW6lh6tIA8hD6l+B3KGKOm6YT6jFfOLUxXEWm7XWJmfXMe0TrGR' +
  '4BXFIGsuqSjMklyHiktJEgq8Jg4rkVTxSpVx1FwqB1Cmymwhgtnih9SgzaPDy4Lh7HquGfHMzzUnaX8S3eG5joqAiTUTa8o3JeEfeGPybe9ipC8ptumj' +
  'p+SRLHIq/V+t1AHK9aH3qZTx7m24BLDjXqpI5HNH4qRO7XlhENnD/SKPAF233nA7c2FL+jQ037n5wdOKUdemH1ourAKJte+5sD7BOdsnXEe4eplTaNST' +
  'pw+uuLBXDJ/JpZYLG/+EW+bV5PFHFzMmjYoMvm6/v+oCGcDHMuHr8LqLBfP5bfOGiwUznTZvulgw6HrLRcHMOIxXhKXVTMAtYDXoxhh6F+aYZw3zrnBE' +
  'Yxk7/uLC3DL3Z01cjmZb9+8gmG3z8BylHU3z2x5QTLi0wyyLOy9lAsNSlZgNTnGO0cdOt5eKPxGzA4PhYRTbhfwL';

/** The compiled steps of state-space models. */
export const ssmWasm = (): Uint8Array<ArrayBuffer> => inflated(base64);
