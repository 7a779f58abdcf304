// The compiled half of the Python package pylabhub.
#include <pybind11/pybind11.h>

#include "client/python/bindings.h"
#include "client/python/record_type.h"

PYBIND11_MODULE(_pylabhub, module) {
  module.doc() = "The compiled half of pylabhub; use the package pylabhub.";
  pylabhub::python::LoadNumpy();
  pylabhub::python::BindSchema(module);
  pylabhub::python::BindSession(module);
  pylabhub::python::BindProducer(module);
  pylabhub::python::BindConsumer(module);
}
