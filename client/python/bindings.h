// What the module _pylabhub consists of: one function for each part. pylabhub/*.py gives it its shape for users.
#ifndef PYLABHUB_CLIENT_PYTHON_BINDINGS_H_
#define PYLABHUB_CLIENT_PYTHON_BINDINGS_H_

#include <pybind11/pybind11.h>

namespace pylabhub::python {

void BindSchema(pybind11::module_& module);
void BindSession(pybind11::module_& module);
void BindProducer(pybind11::module_& module);
void BindConsumer(pybind11::module_& module);

}  // namespace pylabhub::python

#endif  // PYLABHUB_CLIENT_PYTHON_BINDINGS_H_
