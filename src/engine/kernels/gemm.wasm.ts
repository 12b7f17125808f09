// Generated from kernels/gemm/index.ts by kernels/build.mjs; do not edit.
import { inflated } from './inflated.ts';

const base64 =
  'fZXfjttEFMbHf8YeexzH3c0fZ3NzxldI3Owtd7EEqICE9hFStkHIzdKFRkhVkcKbIOCKd+EBeADENbTXkfqdM46TatVGcr7xzOeZM+d3xlZPXtwFSqlg' +
  'Gq6z/fGn1jFLsA/HQbT5/qfkbnP3/MeXoQqiCH8pReb2u+fbzYtnL1Vgvt1snn7z5PaZUoMv/7MM/45C+8rsKWr1zs2jFaVkHseQ9pewayIyhOvx0tWk' +
  'XYThiBIeDtGI2qDb4rHOLVrlZhiMafYlBmc03zYTCjq3JEWTDs501zVXBxUrlxFr5XJRclb02hWiKzcSvXGl6NqNRe9dRUsExatNaYFWjNYEfbX0LbH6' +
  'lJZfYPWMprxQc0GTQxaq5vLwb3D4J8DCuYxUzSM69uVkyfviwWepoJOjoFHvMINjROWZo6Rx7yiai75vTBUcx7uKpi1x3JO2QtBFYLFpyg42VtAcWkEt' +
  'lKAF9Bo6gq6gJfQGOoauoRX0nmZIvpvJVMzBRdIUai7ltv0rj+zevgp+prANdy5HhnIqmU8pbGPc4gLbjEIXYzigmIcVxZix0RRv2wS5LcBa8wWrgVXD' +
  'qn2VFKQFrRW0C+yB0dai5Oai124mukICWG+AjXXtLkXv3QUi0rsmoaJDbhUm11JaWJySzqGfMqGcSn2OvsLKC+SHKT+i5JBHqhkfXgeH/wPEUMtI1VTI' +
  'mO+raQ4a7DODb44qPTlmKB7vqAYHcJ05JnTZO+rBcQnuJ8cFjZjyiBKWRHhYWghlS7VQtjQXypZmQtmiIpmyRf0wZYuqYsqoSqHMeXBapmImLpam8HOl' +
  'tD25aCAnPs8NzwirgLQfPMsrkh0LOdOTY2VyrEyOlcmxMjlWJsfK5FiZXILqSndNyphSsggLKyZk+CQukC/PqHzAiEceMmLfhxmx48OM2PF+Rh4OUgjx' +
  'GTQ9I9MzMj0j0zMyPSPTMzI9I/OQEVNCUl2G96EOV3xO2pjPiXYJp8XfZOgNd6jsNmIAH0fKXeEBTpz2BxQvB0QYIq29Cx5+jNLj3e+/ObwZeGW/CU3J' +
  '5/zgp/hK4Pff/nZoK/X0h89GOLB09esnkZKGxPDRlmf6A30WoWEqX7On/bR7p/lefY2pY45Zd+O+EjnawEfLe8bbAuxzFFkpYfnDq/tUnBKR+3W5HPBa' +
  '5Chwrvsi9MVXydeE04U98fQ1bInYUrZhisSHwql4p65q/jDwFANvVOBpYwCMl+eboKe9ON5U5wjPcno6ce3evgU=';

/** The compiled kernel of error feedback. */
export const gemmWasm = (): Uint8Array<ArrayBuffer> => inflated(base64);
